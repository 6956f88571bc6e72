import { setTimeout as sleep } from 'node:timers/promises'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { Producer } from '../../../shared/sdk/producer.ts'
import type { StagedEvent } from './stage-events.ts'

/** An event the stream said yes to. */
export interface AcceptedEvent {
  readonly event: StagedEvent
  readonly token: string
  readonly sequence: number
  /** When the stream's word came, milliseconds since 1970. */
  readonly at: number
}

/** How fast events are published: a steady rate, bursts, or as fast as the producer takes them. */
export type Pace =
  | { readonly perSecond: number }
  | { readonly burst: number; readonly everyMs: number }
  | 'at once'

/** Events on their way to the stream, in the background. */
export interface Feed {
  /** Events there are in all. */
  readonly size: number
  readonly accepted: readonly AcceptedEvent[]
  /** Token of each event that was sent at all, accepted or not. */
  readonly sent: ReadonlyMap<string, StagedEvent>
  /** Refusals and unknown fates the producer was told; each was followed by another try with the same id. */
  readonly refusals: ReadonlyMap<string, number>
  /** Starts publishing the next `count` events, without waiting for them. */
  send(count: number): void
  /** Publishes what is left at this pace; resolves when all is sent. Owned: `done` tells of failures. */
  run(pace: Pace): Promise<void>
  /** Resolves when this share (0 to 1) of all events is accepted. */
  reached(share: number): Promise<void>
  /** Resolves when all events are accepted; rejects on a refusal that trying again cannot change. */
  readonly done: Promise<void>
  /** Sends no more, and gives up on what is not accepted yet. */
  stop(): void
}

/** What a real producer repeats: the stream is full, or it is unknown whether the event is stored. */
const PASSING = new Set<string>(['stream-full', 'broker-unavailable', 'timeout'])
const AGAIN_MS = 100
const TICK_MS = 50

export interface FeedOptions {
  readonly producer: Pick<Producer, 'publish'>
  readonly source: string
}

export function createFeed(events: readonly StagedEvent[], { producer, source }: FeedOptions): Feed {
  const accepted: AcceptedEvent[] = []
  const sent = new Map<string, StagedEvent>()
  const refusals = new Map<string, number>()
  const waiters: {
    readonly count: number
    readonly resolve: () => void
    readonly reject: (e: unknown) => void
  }[] = []
  let next = 0
  let isStopped = false
  let failure: unknown

  function check(): void {
    for (const waiter of waiters.splice(0)) {
      if (failure !== undefined) waiter.reject(failure)
      else if (accepted.length >= waiter.count || isStopped) waiter.resolve()
      else waiters.push(waiter)
    }
  }
  function whenAccepted(count: number): Promise<void> {
    const reached = new Promise<void>((resolve, reject) => waiters.push({ count, resolve, reject }))
    reached.catch(() => undefined) // whoever awaits it is told
    check()
    return reached
  }
  async function publish(event: StagedEvent): Promise<void> {
    sent.set(eventToken(event.model, source, event.id), event)
    while (!isStopped) {
      try {
        const { token, sequence } = await producer.publish(event)
        accepted.push({ event, token, sequence, at: Date.now() })
        return check()
      } catch (thrown) {
        if (!(thrown instanceof PeltonError) || !PASSING.has(thrown.code)) throw thrown
        refusals.set(thrown.code, (refusals.get(thrown.code) ?? 0) + 1)
        await sleep(AGAIN_MS)
      }
    }
  }
  function send(count: number): void {
    for (const event of events.slice(next, next + count)) {
      publish(event).catch((thrown: unknown) => {
        if (isStopped) return
        failure ??= thrown
        check()
      })
    }
    next = Math.min(events.length, next + count)
  }
  async function run(pace: Pace): Promise<void> {
    const step = stepOf(pace, events.length)
    const from = next
    const began = performance.now()
    for (let tick = 1; next < events.length && !isStopped && failure === undefined; tick++) {
      send(Math.round(from + tick * step.count) - next)
      await sleep(Math.max(0, began + tick * step.everyMs - performance.now()))
    }
  }

  return {
    size: events.length,
    accepted,
    sent,
    refusals,
    send,
    run,
    reached: (share) => whenAccepted(Math.ceil(share * events.length)),
    done: whenAccepted(events.length),
    stop() {
      isStopped = true
      check()
    },
  }
}

function stepOf(pace: Pace, all: number): { readonly count: number; readonly everyMs: number } {
  if (pace === 'at once') return { count: all, everyMs: 0 }
  if ('burst' in pace) return { count: pace.burst, everyMs: pace.everyMs }
  return { count: (pace.perSecond * TICK_MS) / 1_000, everyMs: TICK_MS }
}
