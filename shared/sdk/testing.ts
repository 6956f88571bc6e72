import { startBroker } from './broker/server.ts'
import type { TopologyOptions } from './contract/topology.ts'
import { connectBroker } from './jetstream/connect.ts'
import { provision } from './jetstream/provision.ts'

export type { TopologyOptions } from './contract/topology.ts'

export interface TestBrokerOptions {
  /** Pools to make consumers for, so that real workers could serve them. @default ['default'] */
  readonly pools?: readonly string[]
  /** Limits of the streams: `{ featuresMaxMessages: 10 }` shows your code a full stream. */
  readonly topology?: Partial<TopologyOptions>
  /** Names the streams as a Pelton with this prefix does, beside which others may be. @default none */
  readonly prefix?: string
  /** Told each step that may take time, such as a download. @default silence */
  readonly note?: (text: string) => void
}

/** A real nats-server with Pelton's streams, for one test file. */
export interface TestBroker {
  /** `nats://127.0.0.1:<port>` */
  readonly url: string
  /** Ends the server with SIGKILL and starts it again with the same data and port. */
  crash(): Promise<void>
  /** Ends the server and removes its data. May be called again. */
  stop(): Promise<void>
}

/**
 * Starts a real nats-server of your own on a free port, with every stream Pelton uses and nothing in them. The server
 * found on `PATH` or named by `PELTON_NATS_SERVER` is used; else one is downloaded, once per user. It listens on this
 * machine only and ends with this process at the latest.
 *
 * @throws PeltonError `invalid-argument` for a prefix that cannot be used; `broker-not-found`, `broker-too-old`, `broker-unavailable`
 */
export async function startTestBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const { pools = ['default'], topology = {}, prefix, note } = options
  const broker = await startBroker(note === undefined ? {} : { note })
  try {
    const connection = await connectBroker({
      ...{ url: broker.url, name: 'pelton testing', prefix },
      naming: 'options',
    })
    await provision(connection, { pools, topology })
    await connection.close()
  } catch (thrown) {
    await broker.stop()
    throw thrown
  }
  return {
    url: broker.url,
    crash: async () => {
      await broker.kill()
      await broker.restart()
    },
    stop: () => broker.stop(),
  }
}
