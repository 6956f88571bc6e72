import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { FlightEvent } from '../../../services/demo/flights.ts'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { siblingEntry } from '../../../shared/runtime/source-entry.ts'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { type EventMessage, eventMessage } from '../../../shared/sdk/event-message.ts'
import type { Punctuality } from './pacing.ts'

/** What a generator shall send. */
export interface GeneratorLoad {
  readonly url: string
  readonly perSecond: number
  /** Events sent before those that count. */
  readonly warmUp: number
  readonly count: number
}

export interface Sent extends Punctuality {
  /** When the first event was to be sent, by the wall clock, milliseconds since 1970. */
  readonly startMs: number
}

/** What a generator says. It is told one thing, whatever the message: to begin. */
export type FromGenerator =
  /** Every event is encoded, the connection stands. */
  | { readonly kind: 'ready' }
  /** The warm-up is over: what is sent from now on counts. */
  | { readonly kind: 'measuring' }
  /** All is sent, and stored by the broker. */
  | ({ readonly kind: 'sent' } & Sent)

/** A process that sends events at a fixed rate, ready to begin. */
export interface Generator {
  readonly pid: number
  /** Begins; resolves when the warm-up is over. */
  begin(): Promise<void>
  /** Resolves when all is sent and stored. */
  readonly sent: Promise<Sent>
  stop(): Promise<void>
}

/** Starts a generator and waits until it is ready. Each wait rejects when the process ends before, and when told to stop. */
export async function startGenerator(load: GeneratorLoad, signal: AbortSignal): Promise<Generator> {
  const { url, execArgv } = siblingEntry(import.meta.url, 'generator-process')
  const child = spawn(process.execPath, [...execArgv, fileURLToPath(url), JSON.stringify(load)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const kill = (): void => void child.kill('SIGKILL')
  if (signal.aborted) kill()
  signal.addEventListener('abort', kill, { once: true })
  const ended = once(child, 'exit').finally(() => signal.removeEventListener('abort', kill))
  const told = async <Kind extends FromGenerator['kind']>(
    kind: Kind,
  ): Promise<Extract<FromGenerator, { kind: Kind }>> => {
    const message = new Promise<Extract<FromGenerator, { kind: Kind }>>((resolve) => {
      child.on('message', (each: FromGenerator) => {
        // `kind` tells the members of the union apart, which the compiler does not see through a parameter.
        if (each.kind === kind) resolve(each as Extract<FromGenerator, { kind: Kind }>)
      })
    })
    const end = ended.then(([code, by]) => {
      throw new Error(`the generator ended (${by ?? code}) before it was ${kind}`)
    })
    return Promise.race([message, end])
  }
  const measuring = told('measuring')
  const sent = told('sent')
  // Awaited later, or not at all where the run fails before.
  for (const each of [measuring, sent]) each.catch(() => undefined)
  await told('ready')
  return {
    pid: child.pid ?? 0,
    begin: async () => {
      child.send('begin')
      await measuring
    },
    sent,
    stop: async () => {
      kill()
      await ended
    },
  }
}

const SOURCE = 'bench'

/** The nth event of an open loop, ready to be sent. */
export function loadMessage(flights: readonly FlightEvent[], index: number): EventMessage {
  const { features } = flights[index % flights.length] as FlightEvent
  const event = { model: DEMO_MODEL, id: idOf(index), features: { ...features } }
  return eventMessage(event, { source: SOURCE, pool: 'default', now: Date.now() })
}

/** Its token, by which its outcome is found. */
export function loadToken(index: number): string {
  return eventToken(DEMO_MODEL, SOURCE, idOf(index))
}

function idOf(index: number): string {
  return `event-${index}`
}
