import { inParallel } from '../broker/parallel.ts'
import { patiently } from '../broker/patience.ts'
import { parseOrigin } from '../dead-letters/origin.ts'
import { findDeadLetter } from '../records/dead-letter.ts'
import { type Ended, recordEnded, removeDeadLetter } from '../records/endings.ts'
import type { Place, TakenHold } from '../records/holds.ts'
import { isAnswered, readRegister } from '../records/register.ts'
import type { OpsStore } from '../records/store.ts'
import { isOver, type ReplayTask, taskKey } from './task.ts'
import { isOnItsWay } from './whereabouts.ts'

/** Looked at in one go at most. */
const MOST_AT_ONCE = 1_000
/** Live events come first. */
const AT_ONCE = 8

type Deps = Pick<OpsStore, 'connection' | 'window' | 'holds'>

/**
 * Lets go of what a replay that is over took, unless its copy is on its way: a dead letter that is discarded then would
 * be predicted all the same. One that was predicted after all is ended as a replay ends it, before another task or act
 * gets it.
 *
 * @param place where the copy was last, when the caller knows better than the hold
 * @returns false while the copy is on its way
 */
export async function letGo(
  { connection, window, holds }: Deps,
  taken: TakenHold,
  place?: Place,
): Promise<boolean> {
  const { token, hold } = taken
  const { sent, by, sequence } = hold
  const letter = await patiently(() => findDeadLetter(connection, { sequence }))
  const isPredicted = async (): Promise<boolean> =>
    letter !== undefined &&
    sent !== undefined &&
    isAnswered(await readRegister(connection, sent.model, token), letter.headers)
  if (!(await isPredicted())) {
    if (sent !== undefined && (await isOnItsWay(connection, by.id, { token, sent }, place))) return false
    if (!(await isPredicted())) {
      await holds.release(taken)
      return true
    }
  }
  await recordEnded(window, 'replayed', by.who, endedOf(taken))
  await removeDeadLetter(connection, sequence)
  await holds.release(taken)
  return true
}

/** What the ledger is to name once a replay has ended. */
export function endedOf({ token, hold: { sent } }: TakenHold): Ended[] {
  const origin = parseOrigin(sent?.origin ?? '')
  return sent === undefined || origin === undefined ? [] : [{ token, origin, pool: sent.pool }]
}

/** What is to become of a hold that is in the way of another task or act. */
export async function reviewHold(
  store: Deps & Pick<OpsStore, 'keyValue'>,
  taken: TakenHold,
): Promise<'held' | 'on its way' | 'let go'> {
  const { kind, id } = taken.hold.by
  const task = kind === 'replay' ? await store.keyValue.get<ReplayTask>(taskKey(id)) : undefined
  if (task === undefined || !isOver(task.value)) return 'held'
  return (await letGo(store, taken)) ? 'let go' : 'on its way'
}

/** Lets go of what replays that are over left on its way, once it has ended. The watch calls it at each look. */
export async function letGoOfEnded(store: OpsStore): Promise<void> {
  const left: TakenHold[] = []
  const over = new Map<string, boolean>()
  for await (const taken of store.holds.of()) {
    const { kind, id } = taken.hold.by
    if (kind !== 'replay') continue
    if (!over.has(id)) over.set(id, await isTaskOver(store, id))
    if (over.get(id) === true) left.push(taken)
  }
  // From anywhere in the list: what stays on its way for long must not keep the rest from being looked at.
  const from = left.length <= MOST_AT_ONCE ? 0 : Math.floor(Math.random() * left.length)
  const some = [...left.slice(from), ...left.slice(0, from)].slice(0, MOST_AT_ONCE)
  await inParallel(some, (taken) => letGo(store, taken), AT_ONCE)
}

async function isTaskOver({ keyValue }: OpsStore, id: string): Promise<boolean> {
  const task = await keyValue.get<ReplayTask>(taskKey(id))
  return task !== undefined && isOver(task.value)
}
