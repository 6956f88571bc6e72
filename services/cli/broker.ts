import { createServer } from 'node:net'
import { readOperatorSettings } from '../../shared/operations/broker/operator-settings.ts'
import { findRunningBroker, type UsedBroker } from '../../shared/operations/broker/running-broker.ts'
import { noteTrouble } from '../../shared/runtime/broker-reach.ts'
import { brokerOptions, withoutSecurity, withoutWho } from '../../shared/runtime/config.ts'
import { startBroker } from '../../shared/sdk/broker/server.ts'
import type { PeltonError } from '../../shared/sdk/errors.ts'
import { connectBroker, withoutSecrets } from '../../shared/sdk/jetstream/connect.ts'
import type { Waiting } from '../../shared/sdk/jetstream/election.ts'
import { keepRunning } from './keep-broker.ts'

type Note = (text: string) => void

export interface UseBrokerOptions {
  readonly note: Note
  /** Folder of the embedded broker, kept afterwards; a fresh one, removed at the end, by default. */
  readonly dataDir?: string
  /** Port of the embedded broker. Default: 4222 with a data folder where it is free, else any. */
  readonly port?: number
  /** Ends the wait for a broker that elects a leader. */
  readonly signal?: AbortSignal
  /** Told when the embedded broker cannot be kept running. */
  readonly onLost?: (error: PeltonError) => void
}

/** Uses the broker of `PELTON_NATS_URL`, or starts the embedded one and keeps it running. */
export async function useBroker(env: NodeJS.ProcessEnv, options: UseBrokerOptions): Promise<UsedBroker> {
  const { note, dataDir } = options
  const settings = readOperatorSettings(env)
  if (env.PELTON_NATS_URL) {
    const url = withoutSecrets(settings.PELTON_NATS_URL)
    note(`broker: ${url}`)
    const connection = await connectBroker({
      ...brokerOptions(settings, 'pelton control'),
      ...waitingAtTerminal(note, options.signal),
      onTrouble: noteTrouble(note),
    })
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
  const connection = await connectBroker({
    ...withoutWho(brokerOptions(settings, 'pelton control')),
    url: broker.url,
  })
  return {
    connection,
    url: broker.url,
    env: { ...withoutSecurity(env), PELTON_NATS_URL: broker.url },
    async close() {
      stopKeeping()
      await connection.close()
      await broker.stop()
    },
  }
}

/** How a command that starts something waits for a broker that elects a leader; others say at once that there is none. */
export function waitingAtTerminal(note: Note, signal: AbortSignal | undefined): Waiting {
  return { patienceMs: 60_000, onWait: (reason) => note(`waiting for the broker: ${reason}`), signal }
}

/** Does something with a broker that runs already, and leaves it. */
export async function withBroker<Result>(
  run: { readonly env: NodeJS.ProcessEnv; readonly terminal: { readonly note: Note } },
  work: (broker: UsedBroker) => Promise<Result>,
  waiting?: Waiting,
): Promise<Result> {
  const broker = await findRunningBroker(run.env, run.terminal.note, waiting)
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
