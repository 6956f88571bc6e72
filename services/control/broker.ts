import { createServer } from 'node:net'
import type { NatsConnection } from '@nats-io/transport-node'
import { brokerOptions } from '../../shared/runtime/config.ts'
import { type RunningServer, readRunningServer } from '../../shared/sdk/broker/readiness.ts'
import { startBroker } from '../../shared/sdk/broker/server.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { connectBroker, withoutSecrets } from '../../shared/sdk/jetstream/connect.ts'
import { brokerDataDir, readControlSettings } from './config.ts'
import { keepRunning } from './keep-broker.ts'

/** The broker a command works with. */
export interface UsedBroker {
  readonly connection: NatsConnection
  /** Address for people, without credentials. */
  readonly url: string
  /** What processes started by this command need in their environment to reach the same broker. */
  readonly env: NodeJS.ProcessEnv
  /** Monitoring of each server, where it is known: `<url>/varz`. */
  readonly monitorUrls?: readonly string[]
  close(): Promise<void>
}

type Note = (text: string) => void

export interface UseBrokerOptions {
  readonly note: Note
  /** Folder of the embedded broker, kept afterwards; a fresh one, removed at the end, by default. */
  readonly dataDir?: string
  /** Port of the embedded broker. Default: 4222 with a data folder where it is free, else any. */
  readonly port?: number
  /** Told when the embedded broker cannot be kept running. */
  readonly onLost?: (error: PeltonError) => void
}

/** Uses the broker of `PELTON_NATS_URL`, or starts the embedded one and keeps it running. */
export async function useBroker(env: NodeJS.ProcessEnv, options: UseBrokerOptions): Promise<UsedBroker> {
  const { note, dataDir } = options
  const settings = readControlSettings(env)
  if (env.PELTON_NATS_URL) {
    const url = withoutSecrets(settings.PELTON_NATS_URL)
    note(`broker: ${url}`)
    const connection = await connectBroker(brokerOptions(settings, 'pelton control'))
    return { connection, url, env, close: () => connection.close() }
  }
  const port = options.port ?? (dataDir === undefined ? undefined : await usualPort())
  const broker = await startBroker({
    note,
    durability: settings.PELTON_DURABILITY,
    ...(dataDir !== undefined && { dataDir }),
    ...(port !== undefined && { port }),
  })
  note(`broker: embedded, ${broker.url}${dataDir === undefined ? '' : `, data in ${broker.dataDir}`}`)
  const stopKeeping = keepRunning(broker, note, options.onLost ?? (() => undefined))
  const connection = await connectBroker({ ...brokerOptions(settings, 'pelton control'), url: broker.url })
  return {
    connection,
    url: broker.url,
    env: { ...env, PELTON_NATS_URL: broker.url },
    async close() {
      stopKeeping()
      await connection.close()
      await broker.stop()
    },
  }
}

/**
 * Connects to a broker that runs already: that of `PELTON_NATS_URL`, else the one of a `pelton up` on this machine,
 * else the usual address.
 *
 * @throws PeltonError `broker-unavailable` when there is none
 */
export async function findRunningBroker(env: NodeJS.ProcessEnv, note: Note): Promise<UsedBroker> {
  const settings = readControlSettings(env)
  const dataDir = brokerDataDir(env)
  const running = env.PELTON_NATS_URL ? undefined : await readRunningServer(dataDir).catch(() => undefined)
  if (running !== undefined) note(`broker: nats://127.0.0.1:${running.port}, of \`pelton up\` in ${dataDir}`)
  const address = running === undefined ? settings.PELTON_NATS_URL : `nats://127.0.0.1:${running.port}`
  const connection = await connectBroker({
    ...brokerOptions(settings, 'pelton control'),
    url: address,
  }).catch((thrown: unknown) => {
    if (env.PELTON_NATS_URL || !(thrown instanceof PeltonError) || thrown.code !== 'broker-unavailable')
      throw thrown
    throw new PeltonError(
      'broker-unavailable',
      `no \`pelton up\` runs here (${dataDir}), and nobody answers at ${withoutSecrets(address)}`,
      { remedy: 'Start `pelton up`, or set PELTON_NATS_URL to the address of your broker.' },
      thrown,
    )
  })
  const url = withoutSecrets(address)
  const monitorUrls = monitorUrlsOf(running, settings)
  return {
    connection,
    url,
    env: { ...env, PELTON_NATS_URL: address },
    ...(monitorUrls !== undefined && { monitorUrls }),
    close: () => connection.close(),
  }
}

/**
 * Monitoring of the broker at an address: of a `pelton up` on this machine, found anew each time because it changes when
 * the server restarts; of others what PELTON_NATS_MONITOR_URL says.
 */
export async function readMonitorUrls(
  address: string,
  env: NodeJS.ProcessEnv,
): Promise<readonly string[] | undefined> {
  const running = await readRunningServer(brokerDataDir(env)).catch(() => undefined)
  const isEmbedded = address === `nats://127.0.0.1:${running?.port}`
  return monitorUrlsOf(isEmbedded ? running : undefined, readControlSettings(env))
}

function monitorUrlsOf(
  embedded: RunningServer | undefined,
  settings: ReturnType<typeof readControlSettings>,
): readonly string[] | undefined {
  return embedded?.monitorUrl === undefined ? settings.PELTON_NATS_MONITOR_URL : [embedded.monitorUrl]
}

/** Does something with a broker that runs already, and leaves it. */
export async function withBroker<Result>(
  run: { readonly env: NodeJS.ProcessEnv; readonly terminal: { readonly note: Note } },
  work: (broker: UsedBroker) => Promise<Result>,
): Promise<Result> {
  const broker = await findRunningBroker(run.env, run.terminal.note)
  try {
    return await work(broker)
  } finally {
    await broker.close()
  }
}

const USUAL_PORT = 4222

/** 4222 where nobody listens there: an address that stays the same from one start to the next. */
async function usualPort(): Promise<number | undefined> {
  const isFree = await new Promise<boolean>((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(USUAL_PORT, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
  return isFree ? USUAL_PORT : undefined
}
