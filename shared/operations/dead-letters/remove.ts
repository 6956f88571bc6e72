import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../sdk/contract/headers.ts'
import { removalMark } from '../../sdk/contract/outcome.ts'
import { STORES } from '../../sdk/contract/topology.ts'
import { publishError } from '../../sdk/jetstream/publish-reply.ts'
import type { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { inParallel } from '../broker/parallel.ts'
import { patiently } from '../broker/patience.ts'
import { type DeadLetterEntry, findDeadLetter } from '../records/dead-letter.ts'
import { type Ended, recordEnded, removeDeadLetter } from '../records/endings.ts'
import type { Hold, Holds, TakenHold } from '../records/holds.ts'
import type { Acting } from './acting.ts'
import { originOf } from './origin.ts'

export interface RemoveDeps {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly holds: Holds
}

/** A discard or purge, as it stands in the ledger and in what it holds. */
export interface Removal {
  readonly id: string
  readonly by: string
  readonly outcome: 'discarded' | 'purged'
}

/** What became of the dead letters a removal was asked for. */
export interface RemovalCounts {
  removed: number
  /** Replayed, removed or replaced by another operation since they were listed. */
  gone: number
  /** In the hands of a replay: nothing was done to them. */
  held: number
}

const AT_ONCE = 200

/** What a removal tells while it is under way. */
export interface RemovalNews {
  readonly acting: Acting
  /** Told the task or act that holds what could not be taken. */
  readonly onHeld: (entry: DeadLetterEntry, by: Hold['by']) => void
}

/**
 * Removes dead letters, some at a time: taken, found to be there still, named in the ledger, marked so that no worker
 * makes them anew, removed by sequence, let go. What a replay holds is left to it. What a process that is killed in
 * between holds is ended by the watch of a control service, or by the same once more.
 */
export async function removeDeadLetters(
  deps: RemoveDeps,
  entries: AsyncIterable<DeadLetterEntry> | Iterable<DeadLetterEntry>,
  removal: Removal,
  news: RemovalNews,
): Promise<RemovalCounts> {
  const counts: RemovalCounts = { removed: 0, gone: 0, held: 0 }
  const remove = async (group: readonly DeadLetterEntry[]): Promise<void> => {
    await news.acting.enter('taking', counts)
    const taken = await takeGroup(deps, group, removal, counts, news.onHeld)
    await news.acting.enter('removing', counts).catch(async (thrown: unknown) => {
      await inParallel(taken, ({ hold }) => deps.holds.release(hold)) // no later process looks for what was taken since
      throw thrown
    })
    await removeTaken(deps, taken, removal, counts)
  }
  let group: DeadLetterEntry[] = []
  for await (const entry of entries) {
    if (group.push(entry) < AT_ONCE) continue
    await remove(group)
    group = []
  }
  if (group.length > 0) await remove(group)
  return counts
}

interface TakenEntry {
  readonly entry: DeadLetterEntry
  readonly hold: TakenHold
}

async function takeGroup(
  { connection, holds }: RemoveDeps,
  group: readonly DeadLetterEntry[],
  { id, by, outcome }: Removal,
  counts: RemovalCounts,
  onHeld: RemovalNews['onHeld'],
): Promise<TakenEntry[]> {
  const kind = outcome === 'purged' ? 'purge' : 'discard'
  const taken: TakenEntry[] = []
  await inParallel(group, async (entry) => {
    const { sequence } = entry
    const held = await holds.take(entry.token, { by: { kind, id, who: by }, sequence })
    if ('heldBy' in held) {
      counts.held++
      onHeld(entry, held.heldBy)
    } else if ((await patiently(() => findDeadLetter(connection, { sequence }))) === undefined) {
      counts.gone++ // a replay was faster: the ledger must not name it twice
      await holds.release(held)
    } else taken.push({ entry, hold: held })
  })
  return taken
}

/** Ends what was taken. May be done twice, also at the same time. */
export async function removeTaken(
  { connection, window, holds }: RemoveDeps,
  taken: readonly TakenEntry[],
  { by, outcome }: Pick<Removal, 'by' | 'outcome'>,
  counts: RemovalCounts,
): Promise<void> {
  const ended = taken.flatMap(({ entry }) => endedOf(entry))
  await recordEnded(window, outcome, by, ended)
  await inParallel(taken, async ({ entry, hold }) => {
    await mark(window, entry)
    if (await removeDeadLetter(connection, entry.sequence, outcome === 'purged')) counts.removed++
    else counts.gone++
    await holds.release(hold)
  })
}

/** Its event may be handed out once more: an acknowledgement can be lost. */
async function mark(window: PublishWindow, { token, headers }: DeadLetterEntry): Promise<void> {
  const failedAt = readHeader(headers, HEADERS.failedAt)
  if (failedAt === undefined) return
  await patiently(async () => {
    const reply = await window.publish(removalMark(token, failedAt))
    if (reply.kind !== 'stored') throw publishError(STORES.starts, reply)
  })
}

function endedOf(entry: DeadLetterEntry): Ended[] {
  const found = originOf(entry)
  return found === undefined ? [] : [{ token: entry.token, ...found }]
}
