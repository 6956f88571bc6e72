import { GenericContainer, getContainerRuntimeClient, Wait } from 'testcontainers'
import type { BrokerExit, EmbeddedBroker, StartBrokerOptions } from '../../shared/sdk/broker/server.ts'
import { freePorts } from './ports.ts'
import { eventually } from './wait.ts'

const CONFIG = '/etc/pelton/broker.conf'
const STORE = '/tmp/jetstream'

/** The image of docker-compose.yml; the entry point is named, so that it can be any image with a nats-server. */
const IMAGE = process.env.NATS_IMAGE || 'nats:2.15-alpine'

/**
 * The embedded broker's interface over a nats-server in a container, for `PELTON_TEST_BROKER=container`. What differs:
 *
 * - `kill` is `docker kill`: the container stays, with its store, and `restart` starts it again at the same port.
 * - `restart` of a running server is SIGTERM to it, and SIGKILL after ten seconds.
 * - `dataDir` is a folder inside the container; `pid` is that of the engine's machine, and 0 where that is another one.
 * - It outlives this process when that is killed, until testcontainers' own reaper ends it.
 */
export async function startContainerBroker(
  options: Omit<StartBrokerOptions, 'binary'> = {},
): Promise<EmbeddedBroker> {
  const [port = 0, monitorPort = 0] = options.port === undefined ? await freePorts(2) : [options.port]
  const started = await new GenericContainer(IMAGE)
    .withEntrypoint(['/usr/local/bin/nats-server'])
    .withCommand(['--config', CONFIG])
    .withCopyContentToContainer([{ content: configText(options), target: CONFIG }])
    .withExposedPorts({ container: 4222, host: port }, { container: 8222, host: monitorPort })
    .withWaitStrategy(Wait.forHttp('/healthz?js-enabled-only=true', 8222))
    .start()
  const { container: engine } = await getContainerRuntimeClient()
  const container = engine.getById(started.getId())
  const readPid = async (): Promise<number> => (await container.inspect()).State.Pid

  let isAskedToEnd = false
  let pid = await readPid()
  const watch = async (): Promise<BrokerExit> => {
    const { StatusCode: code } = (await container.wait()) as { StatusCode: number }
    return { code, expected: isAskedToEnd }
  }
  let exited = watch()
  const end = async (how: () => Promise<unknown>): Promise<void> => {
    isAskedToEnd = true
    await how().catch(ignoreEnded)
    await exited
  }
  let removed: Promise<unknown> | undefined
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    dataDir: STORE,
    monitorUrl: `http://127.0.0.1:${monitorPort}`,
    get pid() {
      return pid
    },
    get exited() {
      return exited
    },
    kill: () => end(() => container.kill()),
    restart: async () => {
      await end(() => container.stop({ t: 10 }))
      isAskedToEnd = false
      await container.start()
      exited = watch()
      pid = await readPid()
      await untilHealthy(monitorPort)
    },
    stop: async () => {
      isAskedToEnd = true
      removed ??= container.remove({ force: true, v: true })
      await removed
    },
  }
}

function configText({ config = '', durability = 'process' }: Omit<StartBrokerOptions, 'binary'>): string {
  const sync = durability === 'power' ? 'always' : '2m'
  return [
    'listen: "0.0.0.0:4222"',
    'http: "0.0.0.0:8222"',
    `jetstream { store_dir: "${STORE}", sync_interval: "${sync}" }`,
    config,
    '',
  ].join('\n')
}

/** 304: it has ended already; 409: it does not run. */
function ignoreEnded(thrown: unknown): void {
  const status = (thrown as { readonly statusCode?: number }).statusCode
  if (status !== 304 && status !== 409) throw thrown
}

async function untilHealthy(port: number): Promise<void> {
  const isHealthy = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/healthz?js-enabled-only=true`).then(
      ({ ok }) => ok,
      () => false,
    )
  await eventually('the broker in the container to be healthy', isHealthy)
}
