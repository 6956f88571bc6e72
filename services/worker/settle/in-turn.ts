import type { LargeGarbage } from '../../../shared/runtime/large-garbage.ts'
import { TURN_BYTES, type Turns } from '../../../shared/runtime/turns.ts'
import { type Concluded, sendingWork } from './outcome.ts'

/** Stores an outcome in a turn of the loop that has room for it: at once where this one has. */
export function inTurn<Stored>(
  store: (concluded: Concluded) => Promise<Stored>,
  turns: Turns,
  garbage: LargeGarbage,
): (concluded: Concluded) => Promise<Stored> {
  return (concluded) => {
    const work = sendingWork(concluded)
    if (work > TURN_BYTES) garbage.passed(work)
    if (turns.take(work)) return store(concluded)
    return turns.spend(work).then(() => store(concluded))
  }
}
