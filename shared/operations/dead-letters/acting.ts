import { PeltonError } from '../../sdk/errors.ts'
import type { KeyValue } from '../records/key-value.ts'
import type { Act } from './acts.ts'
import type { RemovalCounts } from './remove.ts'

/**
 * How far a removal is, kept from before it takes anything until it holds nothing any more. When its process is gone,
 * this says what to do with what it holds.
 */
export interface RemovalState {
  readonly what: Exclude<Act['what'], 'imported'>
  readonly by: string
  /** `taking`: nothing was done to what it holds. `removing`: the ledger may name all it holds. */
  readonly step: 'taking' | 'removing'
  /** Of what was let go already. */
  readonly counts: Readonly<RemovalCounts>
  /** The control service that found the process silent: it must do nothing more. */
  readonly endedBy?: string
}

/** What a process says about its removal while it is under way. */
export interface Acting {
  /** Before a step is taken. @throws PeltonError `conflict` when it was found silent and its holds were ended */
  enter(step: RemovalState['step'], counts: RemovalCounts): Promise<void>
  /** Ends the signs of life, not the record: the control service that finds it silent ends what is held. */
  silence(): void
  /** Nothing is held any more. */
  close(): Promise<void>
}

/** Begins the keys of removals under way in the bucket `pelton-replays`. */
export const ACTING = 'acting'
const SIGN_MS = 1_000

/** Writes down that a removal begins, and from then on gives a sign of life each second. */
export async function beginActing(
  keyValue: KeyValue,
  { id, what, by }: Pick<RemovalState, 'what' | 'by'> & { readonly id: string },
): Promise<Acting> {
  const key = `${ACTING}.${id}`
  let state: RemovalState = { what, by, step: 'taking', counts: { removed: 0, gone: 0, held: 0 } }
  let revision = 0
  let writing: Promise<void> = Promise.resolve()
  const write = (next: RemovalState): Promise<void> => {
    const written = writing.then(async () => {
      const kept = await keyValue.put(key, next, revision)
      if (kept === undefined) throw endedMeanwhile(id)
      revision = kept
      state = next
    })
    writing = written.catch(() => undefined)
    return written
  }
  await write(state)
  // A step that cannot be written stops the removal; a sign that cannot be is followed by another.
  const signs = setInterval(() => void write(state).catch(() => undefined), SIGN_MS)
  return {
    enter: (step, counts) => write({ ...state, step, counts: { ...counts } }),
    silence: () => clearInterval(signs),
    async close() {
      clearInterval(signs)
      await writing
      await keyValue.remove(key, revision)
    },
  }
}

function endedMeanwhile(id: string): PeltonError {
  return new PeltonError('conflict', 'a control service took this process for dead, and ended what it held', {
    field: 'act',
    value: id,
    remedy: 'See `pelton dead-letters history`, and do it again.',
  })
}
