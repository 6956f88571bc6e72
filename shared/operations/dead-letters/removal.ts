import { hash } from 'node:crypto'
import { PeltonError } from '../../sdk/errors.ts'
import { type DeadLetterEntry, findDeadLetter } from '../records/dead-letter.ts'
import type { Hold } from '../records/holds.ts'
import { newId } from '../records/ids.ts'
import type { OpsStore } from '../records/store.ts'
import { beginActing } from './acting.ts'
import { keepAct } from './acts.ts'
import { browseDeadLetters } from './browse.ts'
import type { DeadLetterFilter } from './filter.ts'
import { type RemovalCounts, removeDeadLetters } from './remove.ts'
import type { Which } from './which.ts'

/** What an operator wants to be rid of. */
export interface RemovalRequest {
  readonly outcome: 'discarded' | 'purged'
  /** These, or else all that match the filter. */
  readonly which: readonly Which[]
  readonly filter: DeadLetterFilter
  readonly because: string
  readonly by: string
}

export interface RemovalRun {
  /** Ends it early, between two dead letters. */
  readonly signal: AbortSignal
  /** Told what was left alone, and the task or act that holds it. */
  readonly onHeld: (entry: DeadLetterEntry, by: Hold['by']) => void
}

/**
 * How many dead letters a request would remove; changes nothing.
 *
 * @throws PeltonError `invalid-argument` when it chooses nothing
 */
export async function countRemoval(
  store: Pick<OpsStore, 'connection'>,
  request: RemovalRequest,
): Promise<number> {
  let total = 0
  for await (const _entry of chosen(store, request)) total++
  return total
}

/**
 * Discards or purges, and writes down who, when and why.
 *
 * @throws PeltonError `invalid-argument` when the request chooses nothing, `conflict` when a control service took this
 *   process for dead meanwhile
 */
export async function removeAndRecord(
  store: OpsStore,
  request: RemovalRequest,
  { signal, onHeld }: RemovalRun,
): Promise<RemovalCounts> {
  const { outcome, by, because } = request
  const entries = untilAborted(chosen(store, request), signal)
  const now = new Date()
  const id = newId(now)
  const begun = { id, what: outcome, by, at: now.toISOString(), because, asked: asked(request), counts: {} }
  const act = { ...begun, isComplete: false }
  await keepAct(store.keyValue, act)
  const acting = await beginActing(store.keyValue, act)
  try {
    const counts = await removeDeadLetters(store, entries, { id, by, outcome }, { acting, onHeld })
    await keepAct(store.keyValue, { ...act, counts: { ...counts }, isComplete: !signal.aborted })
    await acting.close()
    return counts
  } finally {
    acting.silence()
  }
}

/** What the record says was asked for. The subject of a purge is a person: only its digest is kept. */
function asked({ outcome, which, filter }: RemovalRequest): Readonly<Record<string, unknown>> {
  if (outcome === 'purged') return { subjectSha256: hash('sha256', filter.subject ?? '') }
  return which.length > 0 ? { which } : { filter }
}

function chosen(
  { connection }: Pick<OpsStore, 'connection'>,
  { which, filter }: RemovalRequest,
): AsyncGenerator<DeadLetterEntry> {
  if (which.length === 0 && Object.keys(filter).length === 0) throw nothingChosen()
  return which.length === 0 ? browseDeadLetters(connection, { filter }) : named(connection, which)
}

async function* named(
  connection: OpsStore['connection'],
  which: readonly Which[],
): AsyncGenerator<DeadLetterEntry> {
  for (const one of which) {
    const found = await findDeadLetter(connection, one)
    if (found !== undefined) yield found
  }
}

async function* untilAborted<Item>(items: AsyncIterable<Item>, signal: AbortSignal): AsyncGenerator<Item> {
  for await (const item of items) {
    if (signal.aborted) return
    yield item
  }
}

function nothingChosen(): PeltonError {
  return new PeltonError('invalid-argument', 'nothing is chosen', {
    remedy: 'Name tokens or sequences, or give a filter such as --model or --reason.',
  })
}
