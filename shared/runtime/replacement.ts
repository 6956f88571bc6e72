import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReplaceWord } from './supervisor.ts'

/** How long a supervisor may take to say that it starts another process, milliseconds. */
const ANSWER_MS = 2_000

/** How long the other process may take until it takes work, milliseconds. */
const SUCCESSOR_MS = 60_000

export interface ReplacementOptions {
  /** Why, for people. */
  readonly because: string
  /** Closes what two processes cannot have at once, a port say, before the other one is started. */
  readonly makeRoom: () => Promise<void>
  /** Whether it has been asked to stop already. */
  readonly isStopping: () => boolean
}

/**
 * Has this process replaced by another, and drained. A supervisor that knows the word starts the other one at once, and asks
 * this one to stop when that takes work; until then this one goes on. Without such a supervisor, or when the other one
 * does not get that far in a minute, it drains by itself.
 */
export async function askToBeReplaced({ because, makeRoom, isStopping }: ReplacementOptions): Promise<void> {
  if (process.connected && !isStopping()) {
    await makeRoom()
    const stopped = once(process, 'SIGTERM')
    const answered = once(process, 'message')
    process.send?.({ kind: 'replace', because } satisfies ReplaceWord, undefined, undefined, () => undefined)
    const isHeard = await Promise.race([answered.then(() => true), sleep(ANSWER_MS, false)])
    if (isHeard) await Promise.race([stopped, sleep(SUCCESSOR_MS)])
  }
  // The lifecycle takes it as an operator's word: drain.
  if (!isStopping()) process.kill(process.pid, 'SIGTERM')
}
