import { startBroker } from '../../shared/sdk/broker/server.ts'
import { startTestCluster } from '../kit/cluster.ts'

/**
 * What an acknowledged message survives. `process`: the end of any process; one server, one copy, synced now and then.
 * `power`: the loss of power; three servers, three copies, each write synced.
 */
export type Profile = 'process' | 'power'

/** A broker, or three that form a cluster. */
export interface Ground {
  /** Of the one server that clients use. */
  readonly url: string
  readonly pids: readonly number[]
  /** Copies of each stream. */
  readonly replicas: number
  /** Name of the server that clients use; undefined for a server alone. */
  readonly used: string | undefined
  /** Monitoring of a server alone; undefined in a cluster. */
  readonly monitorUrl: string | undefined
  /** Kills a server that stands alone, and starts it again on what it has stored. Undefined in a cluster. */
  readonly restart: (() => Promise<void>) | undefined
  close(): Promise<void>
}

export interface GroundOptions {
  /** @default 'process' */
  readonly profile?: Profile | undefined
  /** @default as many as the profile says */
  readonly servers?: 1 | 3 | undefined
  /** Added to the configuration of each server. */
  readonly config?: string | undefined
}

export async function openGround(options: GroundOptions = {}): Promise<Ground> {
  const { profile = 'process', servers = profile === 'power' ? 3 : 1, config = '' } = options
  if (servers === 1) {
    const broker = await startBroker({ durability: profile, config })
    const { url, monitorUrl } = broker
    return {
      ...{ url, replicas: 1, used: undefined, monitorUrl },
      get pids() {
        return [broker.pid]
      },
      restart: () => broker.restart(),
      close: () => broker.stop(),
    }
  }
  const syncInterval = profile === 'power' ? 'always' : '2m'
  const { nodes, stop } = await startTestCluster({ network: 'direct', syncInterval, config })
  const [first] = nodes
  if (first === undefined) throw new Error('a cluster without nodes')
  return {
    url: first.url,
    pids: nodes.map(({ pid }) => pid),
    replicas: nodes.length,
    used: first.name,
    monitorUrl: undefined,
    restart: undefined,
    close: stop,
  }
}
