import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Punctuality } from '../../bench/compare/pacing.ts'
import type { Fates, Load } from '../measure/account.ts'
import type { OfSources } from './schedule.ts'

/** How events get to a contestant. */
export type DoorSettings =
  /** Requests with JSON features: where each source posts them, and whether parameters of the Open Inference Protocol are read. */
  | {
      readonly kind: 'http'
      readonly addresses: OfSources<string>
      readonly hasParameters: boolean
      readonly keepsAlive: boolean
      /** API key of each source. @default none is sent */
      readonly keys?: OfSources<string>
    }
  /** Events by producers of the SDK, one for each source; `isPlain`: as any client of NATS would, asking nobody before. */
  | {
      readonly kind: 'sdk'
      readonly url: string
      /** Whom each source asks. */
      readonly models: OfSources<string>
      readonly isPlain: boolean
      /** What sources are called. */
      readonly sources: OfSources<string>
    }
  /** Several of these, in turn. */
  | { readonly kind: 'in-turn'; readonly doors: readonly DoorSettings[] }
  /** Jobs; `packages` is a file beside whose packages BullMQ is. */
  | { readonly kind: 'bullmq'; readonly port: number; readonly packages: string; readonly queue: string }

export interface GeneratorSettings {
  readonly door: DoorSettings
  /** JSON file of the features of all flights. */
  readonly flights: string
}

/** A load to be sent now. */
export interface Drive extends Load {
  /** Distinguishes its events from those of all others on the same contestant. */
  readonly run: string
  /** How long a sender waits for an answer, from when an event was to be sent, milliseconds. */
  readonly patienceMs: number
}

/** What was sent, and what came of it as far as its senders know. */
export interface Driven extends Fates, Punctuality {
  /** When the first event was to be sent, by the wall clock, milliseconds since 1970. */
  readonly startMs: number
  /** By index, where an event was stored without an answer: under which token its outcome is found. */
  readonly tokens: ReadonlyMap<number, string>
  /** What refusals and failures said, with how many said it. */
  readonly said: ReadonlyMap<string, number>
}

/** What a generator says. */
export type FromGenerator = { readonly kind: 'ready' } | ({ readonly kind: 'driven' } & Driven)

/** A process that sends loads, one after the other. */
export interface Generator {
  readonly pid: number
  /** Sends a load, and waits for its answers as long as senders do. @throws Error where the process ends before */
  drive(drive: Drive): Promise<Driven>
  stop(): Promise<void>
}

/** @param program compiled `generator-process` */
export async function startGenerator(
  program: string,
  settings: GeneratorSettings,
  signal: AbortSignal,
): Promise<Generator> {
  const child = fork(program, [JSON.stringify(settings)], {
    serialization: 'advanced',
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    execArgv: ['--max-semi-space-size=32'],
  })
  const kill = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', kill, { once: true })
  const ended = once(child, 'exit').finally(() => signal.removeEventListener('abort', kill))
  const told = async (kind: FromGenerator['kind']): Promise<FromGenerator> => {
    const message = new Promise<FromGenerator>((resolve) => {
      const onMessage = (each: FromGenerator): void => {
        if (each.kind !== kind) return
        child.off('message', onMessage)
        resolve(each)
      }
      child.on('message', onMessage)
    })
    const end = ended.then(([code, by]) => {
      throw new Error(`the generator ended (${by ?? code}) before it was ${kind}`)
    })
    return Promise.race([message, end])
  }
  await told('ready')
  return {
    pid: child.pid ?? 0,
    async drive(drive) {
      const driven = told('driven')
      child.send(drive)
      const message = await driven
      if (message.kind !== 'driven') throw new Error('the generator was never driven')
      return message
    },
    async stop() {
      kill()
      await ended
    },
  }
}
