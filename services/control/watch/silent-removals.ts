import { ACTING, type RemovalState } from '../../../shared/operations/dead-letters/acting.ts'
import { type Act, keepAct } from '../../../shared/operations/dead-letters/acts.ts'
import { type RemovalCounts, removeTaken } from '../../../shared/operations/dead-letters/remove.ts'
import { findDeadLetter } from '../../../shared/operations/records/dead-letter.ts'
import type { KeptValue } from '../../../shared/operations/records/key-value.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'

/** What became of the holds of a removal whose process is gone. */
interface EndedRemoval {
  readonly act: string
  readonly released: number
  readonly removed: number
}

interface Sighting {
  readonly revision: number
  readonly since: number
  readonly looks: number
}

/**
 * A removal gives a sign of life each second. Looks count too: while the broker was away, no process could give one.
 */
const SILENT_MS = 6_000
const SILENT_LOOKS = 3

/**
 * Discards and purges under way, seen by their signs of life. One that gives none any more holds dead letters that
 * no other process could have: what it only took is let go, and what it had begun to remove is removed.
 */
export class SilentRemovals {
  #seen: ReadonlyMap<string, Sighting> = new Map()

  /** Ends those that are silent. One that could not be ended is tried again. @param by name of this control service */
  async end(store: OpsStore, by: string): Promise<EndedRemoval[]> {
    const seen = new Map<string, Sighting>()
    const silent: KeptValue<RemovalState>[] = []
    const now = performance.now()
    for await (const kept of store.keyValue.list<RemovalState>(ACTING)) {
      const before = this.#seen.get(kept.key)
      const isSame = before?.revision === kept.revision
      const sighting = isSame
        ? { ...before, looks: before.looks + 1 }
        : { revision: kept.revision, since: now, looks: 1 }
      seen.set(kept.key, sighting)
      const isSilent = now - sighting.since >= SILENT_MS && sighting.looks >= SILENT_LOOKS
      if (isSilent || kept.value.endedBy !== undefined) silent.push(kept)
    }
    this.#seen = seen
    const ended = await Promise.all(silent.map((kept) => endRemoval(store, kept, by)))
    return ended.filter((each) => each !== undefined)
  }
}

/** The process that wakes after all finds the record changed, and stops before it does more. */
async function endRemoval(
  store: OpsStore,
  { key, revision, value: state }: KeptValue<RemovalState>,
  by: string,
): Promise<EndedRemoval | undefined> {
  const { keyValue } = store
  const last = await keyValue.put(key, { ...state, endedBy: by }, revision)
  if (last === undefined) return undefined
  const act = key.slice(`${ACTING}.`.length)
  const { released, counts } = await endHolds(store, act, state)
  const removed = counts.removed - state.counts.removed
  const kept = (await keyValue.get<Act>(`act.${act}`))?.value
  const note = `its process ended; by ${by}: ${released} let go, ${removed} ${state.what}`
  if (kept?.isComplete === false) await keepAct(keyValue, { ...kept, counts: { ...counts }, note })
  await keyValue.remove(key, last)
  return { act, released, removed }
}

async function endHolds(
  store: OpsStore,
  act: string,
  { what, by, step, counts: before }: RemovalState,
): Promise<{ readonly released: number; readonly counts: RemovalCounts }> {
  const counts = { ...before }
  let released = 0
  for await (const hold of store.holds.of(act)) {
    const { sequence } = hold.hold
    const entry = step === 'removing' ? await findDeadLetter(store.connection, { sequence }) : undefined
    if (entry !== undefined) await removeTaken(store, [{ entry, hold }], { by, outcome: what }, counts)
    else {
      released++
      await store.holds.release(hold)
    }
  }
  return { released, counts }
}
