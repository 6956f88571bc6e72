import type { NatsConnection } from '@nats-io/transport-node'
import { countSubjects } from '../../../shared/operations/broker/snapshot.ts'
import { ALIVE_MS, decodePresence } from '../../../shared/operations/models/presence.ts'
import { showDuration } from '../../../shared/runtime/quantities.ts'
import { readPoolRecord, subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../../shared/sdk/contract/topology.ts'
import { lastOfSubject } from '../../../shared/sdk/jetstream/api.ts'

/** How late the loop of a worker was lately. */
export interface WorkerLoop {
  readonly worker: string
  /** At most, within the last seconds; milliseconds. */
  readonly lateMs: number
}

/** Workers that are asked for at most. */
const MOST_WORKERS = 100

/**
 * What the workers that are alive say of their loops, the latest first.
 *
 * @param now by the broker's clock, milliseconds since 1970
 * @returns undefined where it may not be read
 */
export async function readLoops(
  connection: NatsConnection,
  now: number,
): Promise<readonly WorkerLoop[] | undefined> {
  try {
    const { counts } = await countSubjects(connection, STORES.models, subjects.workerPresences(), 1)
    const found = [...counts.keys()].slice(0, MOST_WORKERS)
    const loops = await Promise.all(found.map((subject) => readLoop(connection, subject, now)))
    return loops.filter((loop) => loop !== undefined).sort((a, b) => b.lateMs - a.lateMs)
  } catch {
    return undefined // streams and consumers are told without it
  }
}

async function readLoop(
  connection: NatsConnection,
  subject: string,
  now: number,
): Promise<WorkerLoop | undefined> {
  const copy = await lastOfSubject(connection, STORES.models, subject)
  const worker = readPoolRecord(subject)?.name
  if (copy === undefined || worker === undefined || now - copy.storedAt > ALIVE_MS) return undefined
  const presence = decodePresence(copy.body)
  return presence && { worker, ...presence }
}

/** A loop that is later than this keeps events waiting, milliseconds: as the alert `PeltonEventLoopBusy` has it. */
const LATE_MS = 250

/** For people: how late loops are, and each that is too late with what to do. */
export function loopLines(loops: readonly WorkerLoop[] | undefined): readonly string[] {
  const [latest] = loops ?? []
  if (loops === undefined || latest === undefined) return []
  const workers = loops.length === 1 ? '1 worker' : `${loops.length} workers`
  const late = loops.filter(({ lateMs }) => lateMs > LATE_MS)
  return [
    `loops of ${workers}: ${showDuration(latest.lateMs)} late at most`,
    ...late.map(
      ({ worker, lateMs }) => `worker ${worker} is busy: its loop was ${showDuration(lateMs)} late`,
    ),
    ...(late.length > 0 ? ['  See docs/runbooks/event-loop.md.'] : []),
  ]
}
