import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { removalMark } from '../../../shared/sdk/contract/outcome.ts'
import { STORES } from '../../../shared/sdk/contract/topology.ts'
import { type PublishWindow, publishError } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { Hold, Holds } from '../replay/holds.ts'
import { originOf } from '../replay/message.ts'
import { type DeadLetterEntry, findDeadLetter } from './browse.ts'
import { type Ended, recordEnded, removeDeadLetter } from './ledger.ts'
import { inParallel } from './parallel.ts'
import { patiently } from './patience.ts'

export interface RemoveDeps {
  readonly connection: NatsConnection
  readonly window: PublishWindow
  readonly holds: Holds
}

export interface Removal {
  readonly id: string
  readonly by: string
  readonly outcome: 'discarded' | 'purged'
}

export interface RemovalCounts {
  removed: number
  /** Replayed, removed or replaced by somebody else since they were listed. */
  gone: number
  /** In the hands of a replay: nothing was done to them. */
  held: number
}

const AT_ONCE = 200

/**
 * Removes dead letters one by one: taken, found to be there still, named in the ledger, marked so that no worker makes them anew, removed by
 * sequence, let go. Killed in between, the same
 * again does the rest. What a replay holds is left to it.
 *
 * @param onHeld told who holds what could not be taken
 */
export async function removeDeadLetters(
  deps: RemoveDeps,
  entries: AsyncIterable<DeadLetterEntry> | Iterable<DeadLetterEntry>,
  removal: Removal,
  onHeld: (entry: DeadLetterEntry, by: Hold['by']) => void,
): Promise<RemovalCounts> {
  const counts: RemovalCounts = { removed: 0, gone: 0, held: 0 }
  let group: DeadLetterEntry[] = []
  for await (const entry of entries) {
    if (group.push(entry) < AT_ONCE) continue
    await removeGroup(deps, group, removal, counts, onHeld)
    group = []
  }
  await removeGroup(deps, group, removal, counts, onHeld)
  return counts
}

async function removeGroup(
  { connection, window, holds }: RemoveDeps,
  group: readonly DeadLetterEntry[],
  { id, by, outcome }: Removal,
  counts: RemovalCounts,
  onHeld: (entry: DeadLetterEntry, by: Hold['by']) => void,
): Promise<void> {
  const kind = outcome === 'purged' ? 'purge' : 'discard'
  const hold = (sequence: number): Hold => ({ by: { kind, id, who: by }, sequence })
  const taken: { readonly entry: DeadLetterEntry; readonly release: () => Promise<void> }[] = []
  await inParallel(group, async (entry) => {
    const held = await holds.take(entry.token, hold(entry.sequence))
    if ('heldBy' in held) {
      counts.held++
      onHeld(entry, held.heldBy)
    } else if (
      (await patiently(() => findDeadLetter(connection, { sequence: entry.sequence }))) === undefined
    ) {
      counts.gone++ // a replay was faster: the ledger must not name it twice
      await holds.release(held)
    } else taken.push({ entry, release: () => holds.release(held) })
  })
  await recordEnded(
    window,
    outcome,
    by,
    taken.flatMap(({ entry }) => endedOf(entry)),
  )
  await inParallel(taken, async ({ entry, release }) => {
    await mark(window, entry)
    if (await removeDeadLetter(connection, entry.sequence, outcome === 'purged')) counts.removed++
    else counts.gone++
    await release()
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
