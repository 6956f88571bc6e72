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
  close(): Promise<void>
}

export async function openGround(profile: Profile): Promise<Ground> {
  if (profile === 'process') {
    const { url, pid, stop } = await startBroker()
    return { url, pids: [pid], replicas: 1, used: undefined, close: stop }
  }
  const { nodes, stop } = await startTestCluster({ network: 'direct', syncInterval: 'always' })
  const [first] = nodes
  if (first === undefined) throw new Error('a cluster without nodes')
  return {
    url: first.url,
    pids: nodes.map(({ pid }) => pid),
    replicas: nodes.length,
    used: first.name,
    close: stop,
  }
}
