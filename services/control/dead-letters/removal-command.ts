import { hash } from 'node:crypto'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { CommandRun } from '../command-run.ts'
import { showCount } from '../quantities.ts'
import { newId } from '../replay/task.ts'
import { type Act, keepAct } from './acts.ts'
import { browseDeadLetters, type DeadLetterEntry, findDeadLetter } from './browse.ts'
import type { DeadLetterFilter } from './filter.ts'
import { type RemovalCounts, removeDeadLetters } from './remove.ts'
import type { Which } from './which.ts'
import { type OpsStore, withStore } from './with-store.ts'

export interface RemovalRequest {
  readonly outcome: 'discarded' | 'purged'
  /** These, or else all that match the filter. */
  readonly which: readonly Which[]
  readonly filter: DeadLetterFilter
  readonly because: string
  readonly by: string
  /** False: only count. */
  readonly isSure: boolean
}

/** Discards or purges, writes it down, and says what came of it. */
export async function removeCommand(run: CommandRun, request: RemovalRequest): Promise<number> {
  const { which, filter, outcome } = request
  if (which.length === 0 && Object.keys(filter).length === 0) throw nothingChosen()
  return withStore(run, async (store) => {
    if (!request.isSure) {
      const found = await count(chosen(store, request))
      run.terminal.print(`${showCount(found)} dead letters would be ${outcome}; add --yes to do it`)
      return EXIT_CODES.ok
    }
    const counts = await removeAndRecord(run, store, request)
    run.terminal.print(
      `${showCount(counts.removed)} ${outcome}, ${counts.gone} gone meanwhile, ${counts.held} held by others`,
    )
    const missing = which.length > 0 && counts.removed < which.length
    return missing || counts.held > 0 || run.signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
  })
}

async function removeAndRecord(
  run: CommandRun,
  store: OpsStore,
  request: RemovalRequest,
): Promise<RemovalCounts> {
  const { outcome, by, because } = request
  const now = new Date()
  const id = newId(now)
  const act: Act = {
    id,
    what: outcome,
    by,
    at: now.toISOString(),
    because,
    asked: asked(request),
    counts: {},
    isComplete: false,
  }
  await keepAct(store.keyValue, act)
  const entries = untilAborted(chosen(store, request), run.signal)
  const counts = await removeDeadLetters(store, entries, { id, by, outcome }, ({ sequence }, holder) =>
    run.terminal.note(`${sequence}: ${holder.kind} ${holder.id} of ${holder.who} has it; nothing was done`),
  )
  await keepAct(store.keyValue, { ...act, counts: { ...counts }, isComplete: !run.signal.aborted })
  return counts
}

/** What the record says was asked for. The subject of a purge is a person: only its digest is kept. */
function asked({ outcome, which, filter }: RemovalRequest): Readonly<Record<string, unknown>> {
  if (outcome === 'purged') return { subjectSha256: hash('sha256', filter.subject ?? '') }
  return which.length > 0 ? { which } : { filter }
}

async function* chosen(
  { connection }: OpsStore,
  { which, filter }: RemovalRequest,
): AsyncGenerator<DeadLetterEntry> {
  if (which.length === 0) return yield* browseDeadLetters(connection, { filter })
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

async function count(items: AsyncIterable<unknown>): Promise<number> {
  let total = 0
  for await (const _item of items) total++
  return total
}

function nothingChosen(): PeltonError {
  return new PeltonError('invalid-argument', 'nothing is chosen', {
    remedy: 'Name tokens or sequences, or give a filter such as --model or --reason.',
  })
}
