import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { subjects } from './contract/subjects.ts'
import { eventToken } from './contract/token.ts'
import { STREAMS } from './contract/topology.ts'
import { PeltonError } from './errors.ts'
import { ApiRefusal, NOT_FOUND } from './jetstream/api.ts'
import { claimDomain } from './jetstream/domain.ts'
import { claimNames, namesOf } from './jetstream/names-of.ts'
import { lookIntoRegister } from './jetstream/register.ts'
import { readResult, type StoredResult } from './result.ts'

/** Which event: by its token, or by what its token is made of. */
export type EventKey =
  | { readonly model: string; readonly token: string }
  | { readonly model: string; readonly source: string; readonly id: string }

export interface WaitOptions {
  /** How long to wait, milliseconds. @default 30_000 */
  readonly timeoutMs?: number
  /** Ends the wait early with the signal's reason. */
  readonly signal?: AbortSignal
  /**
   * Which Pelton of the account `waitFor` asks, over a connection of yours.
   * @default none, or that of the producer or subscriber the connection comes from
   */
  readonly prefix?: string
  /** JetStream domain that `waitFor` asks, likewise. @default as `prefix` */
  readonly domain?: string
}

/** Longest time between two looks at the register, should every wake-up be lost. */
const MAX_PAUSE_MS = 2_000

/**
 * Waits for the outcome of one event: a prediction, or the notice that it died. Returns at once when the outcome is
 * stored already, for as long as results are retained (24 hours by default). What lies in RESULTS and is no outcome, or
 * one of a newer major of the contract, is none to it.
 *
 * @param on a connection, or a producer or subscriber that has one
 * @throws PeltonError `timeout` when there is no outcome yet: the event is not lost by that; `not-provisioned` without
 *   the RESULTS stream; `invalid-argument` for a prefix or domain that cannot be used with this connection
 */
export async function waitFor(
  on: NatsConnection | { readonly connection: NatsConnection },
  event: EventKey,
  options: WaitOptions = {},
): Promise<StoredResult> {
  const connection = 'connection' in on ? on.connection : on
  const { model } = event
  const names = claimNames(connection, options.prefix)
  claimDomain(connection, options.domain)
  const token = 'token' in event ? event.token : eventToken(model, event.source, event.id)
  const subject = subjects.result(model, token)
  const wake = new Wake()
  // The publish of the outcome itself is the wake-up: seen before it is stored, perhaps refused, so never the truth.
  const subscription = connection.subscribe(names.subject(subject), { callback: () => wake.ring() })
  try {
    return await readWhenStored(connection, subject, wake, options)
  } finally {
    subscription.unsubscribe()
  }
}

/** Ends a pause early, perhaps with the answer itself. */
export class Wake {
  /** The outcome, where the wake-up brought it. */
  answer: StoredResult | undefined
  #pause = new AbortController()

  ring(answer?: StoredResult): void {
    this.answer ??= answer
    this.#pause.abort()
  }

  /** Sleeps `ms`, or until rung or aborted. @returns whether it was rung */
  async sleep(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
    const pause = this.#pause
    const signals = signal === undefined ? [pause.signal] : [pause.signal, signal]
    await sleep(ms, undefined, { signal: AbortSignal.any(signals) }).catch(() => undefined)
    signal?.throwIfAborted()
    if (!pause.signal.aborted) return false
    this.#pause = new AbortController()
    return true
  }
}

/** Reads the register until something is in it: at once, after each wake-up, and now and then in between. */
export async function readWhenStored(
  connection: NatsConnection,
  subject: string,
  wake: Wake,
  { timeoutMs = 30_000, signal }: WaitOptions,
): Promise<StoredResult> {
  const deadline = performance.now() + timeoutMs
  for (let pauseMs = 50; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    signal?.throwIfAborted()
    const result = wake.answer ?? (await readStored(connection, subject))
    if (result !== undefined) return result
    const leftMs = deadline - performance.now()
    if (leftMs <= 0) throw noOutcome(namesOf(connection).subject(subject), timeoutMs)
    if (await wake.sleep(Math.min(pauseMs, leftMs), signal)) pauseMs = 5
  }
}

async function readStored(connection: NatsConnection, subject: string): Promise<StoredResult | undefined> {
  try {
    const { outcome } = await lookIntoRegister(connection, subject)
    return outcome && readResult(subject, outcome.headers, outcome.body)
  } catch (thrown) {
    if (thrown instanceof ApiRefusal && thrown.code === NOT_FOUND.stream) {
      const remedy = 'Run `pelton provision`, or `pelton up`, once.'
      const stream = namesOf(connection).stream(STREAMS.results)
      throw new PeltonError('not-provisioned', `stream ${stream} does not exist here`, { remedy }, thrown)
    }
    if (connection.isClosed()) throw new PeltonError('closed', 'the connection is closed', {}, thrown)
    return undefined // the broker does not answer now: the deadline decides
  }
}

function noOutcome(subject: string, timeoutMs: number): PeltonError {
  return new PeltonError('timeout', `no outcome within ${timeoutMs} ms`, {
    field: 'subject',
    value: subject,
    remedy: 'Wait longer or again: an accepted event is answered, also later.',
  })
}
