import { watchLoopDelay } from '../../runtime/loop-delay.ts'
import { HEADERS, type HeaderEntry } from '../../sdk/contract/headers.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'

/** How often a worker says that it is alive, milliseconds. */
const RENEW_MS = 2_000

/** How exact it says how late its loop was, milliseconds: each look wakes an idle process. */
const LOOP_RESOLUTION_MS = 100

/** A worker that has not said so for this long counts as gone, milliseconds: an election or a long pause is shorter. */
export const ALIVE_MS = 10_000

/** The bucket forgets a worker that has ended after this long. */
const FORGET = '1h'

const COMMON: readonly HeaderEntry[] = [
  ['Nats-Rollup', 'sub'], // one message for each worker, no history
  [HEADERS.timeToLive, FORGET],
]
const LEFT: readonly HeaderEntry[] = [['KV-Operation', 'DEL'], ...COMMON]

/** Says that a worker is alive, until it is closed. */
export interface OwnPresence {
  /** Resolves once it has been said for the first time, or could not be. */
  readonly said: Promise<void>
  /** Whether the bucket ever took it: what stands there under this name is of an earlier process until then. */
  readonly isStored: boolean
  /** Says that the worker is gone, and nothing after it. */
  close(): Promise<void>
}

/** What a worker says of itself while it is alive. */
export interface Presence {
  /** How late its loop was at most since it last said so, milliseconds. */
  readonly lateMs: number
}

const utf8 = new TextEncoder()

function encodePresence({ lateMs }: Presence): Uint8Array {
  return utf8.encode(JSON.stringify({ v: 1, lateMs }))
}

/** @returns undefined for what says nothing of the loop: a worker that is gone, or of another Pelton */
export function decodePresence(body: Uint8Array): Presence | undefined {
  try {
    const { lateMs } = JSON.parse(Buffer.from(body).toString()) as { readonly lateMs?: unknown }
    return typeof lateMs === 'number' && lateMs >= 0 ? { lateMs } : undefined
  } catch {
    return undefined
  }
}

/** @param onProblem told when the bucket does not take it, once until it does again */
export function keepPresence(
  window: PublishWindow,
  { pool, worker }: { readonly pool: string; readonly worker: string },
  onProblem: (text: string) => void,
): OwnPresence {
  const subject = subjects.workerPresence(pool, worker)
  const loop = watchLoopDelay(LOOP_RESOLUTION_MS)
  let isRefused = false
  let isStored = false
  const say = async (): Promise<void> => {
    await new Promise(setImmediate) // the timer that measures was late as well: by now it has told
    const body = encodePresence({ lateMs: Math.round(loop.max * 1_000) })
    loop.begin()
    const reply = await window.publish({ subject, headers: COMMON, body })
    // No word of the stream is no problem of ours: everything else that is asked then has none either.
    if (reply.kind === 'refused' && !isRefused)
      onProblem(
        `the presence of this worker cannot be stored: ${reply.description}; run \`pelton provision\``,
      )
    isRefused = reply.kind === 'refused'
    isStored ||= reply.kind === 'stored'
  }
  let last = say()
  const said = last
  const timer = setInterval(() => {
    last = last.then(say)
  }, RENEW_MS)
  timer.unref()
  return {
    said,
    get isStored() {
      return isStored
    },
    async close() {
      clearInterval(timer)
      loop.close()
      await last
      await window.publish({ subject, headers: LEFT, body: new Uint8Array() })
    },
  }
}

/** After a silence of the broker that is longer, whoever was alive before gets the time to say so again, milliseconds. */
const SILENCE_MS = 3 * RENEW_MS

/** Which workers are alive, by what the bucket says and when it said so. */
export class Workers {
  /** When each last said that it is alive, by the broker's clock. */
  readonly #saidAt = new Map<string, number>()
  /** The broker's time, at least, when it was last heard by the clock of this process. */
  #last: { readonly brokerTime: number; readonly heardAt: number } | undefined

  /** What a message of the bucket says of a worker. @param nowMs of a clock that never goes back */
  heard(worker: string, isGone: boolean, storedAt: number, nowMs: number): void {
    this.#tell(storedAt, nowMs)
    if (isGone) this.#saidAt.delete(worker)
    else this.#saidAt.set(worker, Math.max(storedAt, this.#saidAt.get(worker) ?? 0))
  }

  /**
   * That the broker answered, and had nothing new. While it does not, nobody is taken for gone: what is not heard then
   * says nothing.
   */
  nothingNew(nowMs: number): void {
    this.#tell(0, nowMs)
  }

  isAlive(worker: string): boolean {
    const saidAt = this.#saidAt.get(worker)
    return saidAt !== undefined && (this.#last?.brokerTime ?? 0) - saidAt < ALIVE_MS
  }

  get alive(): readonly string[] {
    return [...this.#saidAt.keys()].filter((worker) => this.isAlive(worker))
  }

  /** Forgets all but these. */
  keepOnly(workers: ReadonlySet<string>): void {
    for (const worker of [...this.#saidAt.keys()]) if (!workers.has(worker)) this.#saidAt.delete(worker)
  }

  #tell(storedAt: number, nowMs: number): void {
    const { brokerTime, heardAt } = this.#last ?? { brokerTime: 0, heardAt: nowMs }
    const alive = nowMs - heardAt > SILENCE_MS ? this.alive : []
    const now = Math.max(storedAt, brokerTime === 0 ? 0 : brokerTime + nowMs - heardAt)
    this.#last = { brokerTime: now, heardAt: nowMs }
    for (const worker of alive) this.#saidAt.set(worker, now)
  }
}
