import type { NatsConnection } from '@nats-io/transport-node'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'
import { type EmbeddedBroker, type StartBrokerOptions, startBroker } from '../../shared/sdk/broker/server.ts'
import { type BrokerOptions, connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { type ProvisionOptions, provision } from '../../shared/sdk/jetstream/provision.ts'
import { startContainerBroker } from './container-broker.ts'

/** A real nats-server for one test file, and the connections a test made to it. */
export interface TestBroker extends Omit<EmbeddedBroker, 'stop'> {
  /** A connection of its own; closed by {@link TestBroker.stop} at the latest. */
  connect(options?: Partial<BrokerOptions>): Promise<NatsConnection>
  /** How the SDK reaches the Pelton that {@link TestBroker.provision} makes. */
  readonly place: { readonly url: string; readonly prefix?: string }
  /** Creates Pelton's streams and consumers. Returns what was noted. */
  provision(options?: ProvisionOptions): Promise<string[]>
  /** Closes all connections, ends the server, removes its data. May be called again. */
  stop(): Promise<void>
}

/**
 * Starts a nats-server on a free port with fresh data: a local process, or with `PELTON_TEST_BROKER=container` one in a
 * container (what differs there: container-broker.ts). Whoever starts it stops it:
 * `beforeAll(async () => { broker = await startTestBroker() }); afterAll(() => broker.stop())`.
 */
export async function startTestBroker(options: Omit<StartBrokerOptions, 'binary'> = {}): Promise<TestBroker> {
  const server = await startServer(options)
  const connections: NatsConnection[] = []
  const prefix = testPrefix()

  async function connect(given: Partial<BrokerOptions> = {}): Promise<NatsConnection> {
    const connection = await connectBroker({
      url: server.url,
      name: 'test',
      dataPath: testDataPath(),
      prefix,
      ...given,
    })
    connections.push(connection)
    return connection
  }

  return {
    url: server.url,
    place: { url: server.url, ...(prefix !== undefined && { prefix }) },
    port: server.port,
    dataDir: server.dataDir,
    get monitorUrl() {
      return server.monitorUrl
    },
    get pid() {
      return server.pid
    },
    get exited() {
      return server.exited
    },
    kill: () => server.kill(),
    restart: () => server.restart(),
    connect,
    provision: async (given = {}) => {
      const notes: string[] = []
      const connection = await connect()
      await provision(connection, { ...given, note: (text) => notes.push(text) })
      await connection.close()
      return notes
    },
    stop: async () => {
      await Promise.all(connections.map((connection) => connection.close()))
      await server.stop()
    },
  }
}

/** `PELTON_DATA_PATH` holds for the connections of tests, too, as it does for the services they start. */
export function testDataPath(): 'direct' | 'client' {
  return process.env.PELTON_DATA_PATH === 'client' ? 'client' : 'direct'
}

/** `PELTON_PREFIX` likewise: the tests of the core pass with one, too. */
export function testPrefix(): string | undefined {
  return process.env.PELTON_PREFIX || undefined
}

async function startServer(options: Omit<StartBrokerOptions, 'binary'>): Promise<EmbeddedBroker> {
  if (process.env.PELTON_TEST_BROKER === 'container') return startContainerBroker(options)
  const binary = await ensureBroker({ note: (text) => process.stderr.write(`${text}\n`) })
  return startBroker({ ...options, binary })
}
