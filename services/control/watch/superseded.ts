import { inParallel } from '../../../shared/operations/broker/parallel.ts'
import { browseDeadLetters } from '../../../shared/operations/dead-letters/browse.ts'
import { originOf } from '../../../shared/operations/dead-letters/origin.ts'
import { type DeadLetterEntry, findDeadLetter } from '../../../shared/operations/records/dead-letter.ts'
import { recordEnded, removeDeadLetter } from '../../../shared/operations/records/endings.ts'
import type { Hold, TakenHold } from '../../../shared/operations/records/holds.ts'
import { hasOwnNotice, isAnswered, readRegister } from '../../../shared/operations/records/register.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import type { NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import type { UnexplainedLetter } from '../../../shared/operations/watch-record/record.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'

/** The task its holds belong to: those of a watch that was killed, or failed in between, are found by it. */
const HOLDER = 'watch-superseded'

export interface SupersededScan {
  /** First sequence of DEADLETTERS that was not looked at; 1 at the end: it begins again. */
  readonly next: number
  /** Those that a replay explains. */
  readonly found: readonly DeadLetterEntry[]
  /** Those that nothing explains: evidence, for the audit and for people. */
  readonly unexplained: readonly DeadLetterEntry[]
}

/** Looks at some dead letters from a sequence on: those whose event was predicted after all. */
export async function scanSuperseded(
  store: Pick<OpsStore, 'connection' | 'keyValue'>,
  from: number,
  atMost: number,
): Promise<SupersededScan> {
  const entries: DeadLetterEntry[] = []
  for await (const entry of browseDeadLetters(store.connection, { fromSequence: from })) {
    entries.push(entry)
    if (entries.length >= atMost) break
  }
  const last = entries.length < atMost ? undefined : entries.at(-1)
  const standings = new Map<DeadLetterEntry, Standing>()
  await inParallel(entries, async (entry) => standings.set(entry, await standingOf(store, entry)), AT_ONCE)
  return {
    next: last === undefined ? 1 : last.sequence + 1,
    found: entries.filter((entry) => standings.get(entry) === 'superseded'),
    unexplained: entries.filter((entry) => standings.get(entry) === 'unexplained'),
  }
}

const AT_ONCE = 128

/**
 * How a dead letter stands to the register of its event. `superseded`: a replay had it predicted, because a worker put
 * the prediction behind the notice of this very failure. `unexplained`: there is a prediction of the same payload, and no replay that
 * could have made it. `valid`: anything else, or a replay has it in its hands.
 */
type Standing = 'valid' | 'superseded' | 'unexplained'

async function standingOf(
  { connection, keyValue }: Pick<OpsStore, 'connection' | 'keyValue'>,
  letter: Pick<DeadLetterEntry, 'model' | 'token' | 'headers' | 'sequence'>,
): Promise<Standing> {
  const { model, token, headers, sequence } = letter
  const register = await readRegister(connection, model, token)
  if (!isAnswered(register, headers)) return 'valid'
  if (await hasOwnNotice(connection, letter, register)) return 'superseded'
  const hold = (await keyValue.get<Hold>(`held.${token}`))?.value
  return hold?.sequence === sequence && hold.by.id !== HOLDER ? 'valid' : 'unexplained'
}

/** Dead letters that are remembered as unexplained; the others are found once these are gone. */
const MOST_UNEXPLAINED = 50
/** A replay may end between two questions of one look: the second look decides. */
const LOOKS = 2

/** Looks at those again that are known, and adds those that were found. */
export async function reviewUnexplained(
  store: Pick<OpsStore, 'connection' | 'keyValue'>,
  known: readonly UnexplainedLetter[],
  found: readonly DeadLetterEntry[],
): Promise<readonly UnexplainedLetter[]> {
  const before = new Map(known.map((letter) => [letter.sequence, letter.looks]))
  const kept: UnexplainedLetter[] = []
  await inParallel(known, async ({ model, token, sequence }) => {
    const letter = await findDeadLetter(store.connection, { sequence })
    if (letter === undefined || (await standingOf(store, letter)) !== 'unexplained') return
    kept.push({ model, token, sequence, looks: (before.get(sequence) ?? 0) + 1 })
  })
  const added = found.filter(({ sequence }) => !before.has(sequence))
  return [
    ...kept.sort((one, other) => one.sequence - other.sequence),
    ...added.map(({ model, token, sequence }) => ({ model, token, sequence, looks: 1 })),
  ].slice(0, MOST_UNEXPLAINED)
}

/** Dead letters that two looks found beside a prediction, as one alert. */
export function unexplainedAlert(letters: readonly UnexplainedLetter[]): NewAlert | undefined {
  const seen = letters.filter(({ looks }) => looks >= LOOKS)
  const [first] = seen
  if (first === undefined) return undefined
  const more = letters.length >= MOST_UNEXPLAINED ? ', at least' : ''
  const plural = seen.length === 1 ? 'dead letter lies' : 'dead letters lie'
  return {
    kind: 'dead-letter-beside-prediction',
    about: STREAMS.deadLetters,
    text:
      `${showCount(seen.length)} ${plural} beside a prediction of the same payload${more}, and no replay explains it: the first ` +
      `is ${first.token} of ${first.model}, sequence ${first.sequence}`,
    remedy:
      'An event has one outcome: somebody stored the other, or its notice has expired since a replay. It is left as evidence. ' +
      'See `pelton audit --deep`; once it is explained, `pelton dead-letters discard <token> --because <why>`.',
    count: seen.length,
  }
}

/**
 * Removes dead letters whose event has a prediction by a replay, as that does: taken, named in the ledger as `replayed`,
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
  if (letter !== undefined && found !== undefined && (await standingOf(store, letter)) === 'superseded') {
    await recordEnded(window, 'replayed', by, [{ token: taken.token, ...found }])
    isRemoved = await removeDeadLetter(connection, taken.hold.sequence)
  }
  await holds.release(taken)
  return isRemoved
}
