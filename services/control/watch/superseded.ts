import type { NatsConnection } from '@nats-io/transport-node'
import { thoseThat } from '../../../shared/operations/audit/waiting.ts'
import { inParallel } from '../../../shared/operations/broker/parallel.ts'
import { browseDeadLetters } from '../../../shared/operations/dead-letters/browse.ts'
import { originOf } from '../../../shared/operations/dead-letters/origin.ts'
import { type DeadLetterEntry, findDeadLetter } from '../../../shared/operations/records/dead-letter.ts'
import { recordEnded, removeDeadLetter } from '../../../shared/operations/records/endings.ts'
import type { TakenHold } from '../../../shared/operations/records/holds.ts'
import { isAnswered, readRegister } from '../../../shared/operations/records/register.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'

/** The task its holds belong to: those of a watch that was killed, or failed in between, are found by it. */
const HOLDER = 'watch-superseded'

export interface SupersededScan {
  /** First sequence of DEADLETTERS that was not looked at; 1 at the end: it begins again. */
  readonly next: number
  readonly found: readonly DeadLetterEntry[]
}

/** Looks at some dead letters from a sequence on: those whose event was predicted after all. */
export async function scanSuperseded(
  connection: NatsConnection,
  from: number,
  atMost: number,
): Promise<SupersededScan> {
  const entries: DeadLetterEntry[] = []
  for await (const entry of browseDeadLetters(connection, { fromSequence: from })) {
    entries.push(entry)
    if (entries.length >= atMost) break
  }
  const last = entries.length < atMost ? undefined : entries.at(-1)
  return {
    next: last === undefined ? 1 : last.sequence + 1,
    found: await thoseThat(entries, (entry) => isPredicted(connection, entry)),
  }
}

async function isPredicted(
  connection: NatsConnection,
  { model, token, headers }: Pick<DeadLetterEntry, 'model' | 'token' | 'headers'>,
): Promise<boolean> {
  return isAnswered(await readRegister(connection, model, token), headers)
}

/**
 * Removes dead letters whose event has a prediction, as a replay does: taken, named in the ledger as `replayed`,
 * removed, let go. What a replay or an operator holds is left to them.
 *
 * @returns how many were removed
 */
export async function removeSuperseded(
  store: OpsStore,
  entries: readonly DeadLetterEntry[],
  by: string,
): Promise<number> {
  let removed = 0
  await inParallel(entries, async ({ token, sequence }) => {
    const hold = { by: { kind: 'replay', id: HOLDER, who: by }, sequence } as const
    const taken = await store.holds.take(token, hold)
    if ('heldBy' in taken) return
    if (await removeHeld(store, taken, by)) removed++
  })
  return removed
}

/** Ends what this watch, or one before it, had taken and not let go. */
export async function finishSuperseded(store: OpsStore, by: string): Promise<number> {
  let removed = 0
  for await (const taken of store.holds.of(HOLDER)) if (await removeHeld(store, taken, by)) removed++
  return removed
}

/** Looks again under the hold: the dead letter may be another's by now. */
async function removeHeld(store: OpsStore, taken: TakenHold, by: string): Promise<boolean> {
  const { connection, window, holds } = store
  const letter = await findDeadLetter(connection, { sequence: taken.hold.sequence })
  const found = letter && originOf(letter)
  let isRemoved = false
  if (letter !== undefined && found !== undefined && (await isPredicted(connection, letter))) {
    await recordEnded(window, 'replayed', by, [{ token: taken.token, ...found }])
    isRemoved = await removeDeadLetter(connection, taken.hold.sequence)
  }
  await holds.release(taken)
  return isRemoved
}
