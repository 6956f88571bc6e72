import type { NatsConnection } from '@nats-io/transport-node'
import { type ListedConsumer, listConsumers } from '../../../shared/operations/broker/consumer-list.ts'
import {
  type DurabilityBroker,
  isMet,
  readPromised,
  readSync,
} from '../../../shared/operations/broker/durability.ts'
import { countSubjects } from '../../../shared/operations/broker/snapshot.ts'
import { browseDeadLetters } from '../../../shared/operations/dead-letters/browse.ts'
import { type DeadLetterGroup, groupDeadLetters } from '../../../shared/operations/dead-letters/groups.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import { SILENCE_MS } from '../../../shared/operations/replay/taking.ts'
import type { ReplayState, ReplayTask } from '../../../shared/operations/replay/task.ts'
import { UNKNOWN_MODEL } from '../../../shared/runtime/metrics.ts'
import { cutToWidth, printable } from '../../../shared/runtime/printable.ts'
import type { Durability } from '../../../shared/sdk/broker/server.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type StreamInfo, streamInfo } from '../../../shared/sdk/jetstream/api.ts'

/** A consumer and the stream it reads. */
export type FiguredConsumer = ListedConsumer & { readonly stream: string }

/** What the metrics of control say about the broker. */
export interface Figures {
  readonly streams: ReadonlyMap<string, StreamInfo>
  readonly consumers: readonly FiguredConsumer[]
  /** Events of the fullest subject of FEATURES. */
  readonly fullestSubject: number
}

/** Asks the broker for all of them; streams that are missing are left out. @throws PeltonError `broker-unavailable` */
export async function readFigures(connection: NatsConnection): Promise<Figures> {
  const streams = new Map<string, StreamInfo>()
  const consumers: FiguredConsumer[] = []
  let fullestSubject = 0
  for (const name of Object.values(STREAMS)) {
    const info = await streamInfo(connection, name)
    if (info === undefined) continue
    streams.set(name, info)
    if (name !== STREAMS.features && name !== STREAMS.retries) continue
    for (const consumer of await listConsumers(connection, name))
      consumers.push({ ...consumer, stream: name })
    if (name !== STREAMS.features) continue
    const { counts } = await countSubjects(connection, name, subjects.allFeatures(), 1)
    for (const count of counts.values()) fullestSubject = Math.max(fullestSubject, count)
  }
  return { streams, consumers, fullestSubject }
}

/** Share of each limit of a stream that is used, 0 to 1. */
export function limitsUsed(name: string, { streams, fullestSubject }: Figures): ReadonlyMap<string, number> {
  const shares = new Map<string, number>()
  const info = streams.get(name)
  if (info === undefined) return shares
  const used: [string, number][] = [
    ['max_msgs', info.state.messages],
    ['max_bytes', info.state.bytes],
  ]
  if (name === STREAMS.features) used.push(['max_msgs_per_subject', fullestSubject])
  for (const [limit, amount] of used) {
    const most = Number(info.config[limit] ?? -1)
    if (most > 0) shares.set(limit, amount / most)
  }
  return shares
}

/** How many dead letters of a model have a reason; names that are not served are folded into few. */
export interface DeadLetterFigure {
  readonly model: string
  readonly reason: string
  readonly count: number
}

/** States of replay tasks that are not over, as the metrics have them. */
const TASK_STATES = ['running', 'stalled', 'paused']

/** More than this are not read to be counted by reason. */
const MOST_READ = 50_000
/** Beyond so many models the rest is counted together: what producers write must not become labels without end. */
const MOST_MODELS = 100
const MAX_LABEL = 128
const OTHER_MODELS = '(other)'

/** Dead letters by model and reason; all together where they are too many to be read. */
export async function figureDeadLetters(connection: NatsConnection): Promise<readonly DeadLetterFigure[]> {
  const kept = (await streamInfo(connection, STREAMS.deadLetters))?.state.messages ?? 0
  if (kept === 0) return []
  if (kept > MOST_READ) return [{ model: OTHER_MODELS, reason: '(not read)', count: kept }]
  return foldGroups(await groupDeadLetters(browseDeadLetters(connection)))
}

/** Groups without their descriptions, with names that are not ours folded. Pure. */
export function foldGroups(
  groups: readonly Pick<DeadLetterGroup, 'model' | 'reason' | 'count'>[],
): readonly DeadLetterFigure[] {
  const models = new Set<string>()
  const folded = new Map<string, DeadLetterFigure>()
  for (const { model: named, reason, count } of groups) {
    const isKnown = reason !== 'unknown-model' && (models.has(named) || models.size < MOST_MODELS)
    if (isKnown) models.add(named)
    const model = isKnown ? labelOf(named) : reason === 'unknown-model' ? UNKNOWN_MODEL : OTHER_MODELS
    const key = JSON.stringify([model, reason])
    folded.set(key, { model, reason, count: count + (folded.get(key)?.count ?? 0) })
  }
  return [...folded.values()]
}

/** A name as a label: printable and short, whoever made it up. */
function labelOf(name: string): string {
  return cutToWidth(printable(name), MAX_LABEL)
}

/**
 * Replay tasks that are not over, by state; a state that none is in counts none. `stalled`: said to run, and silent for
 * so long that any process may take it over. Silence is measured by the broker's clock.
 */
export async function figureTasks({
  connection,
  keyValue,
}: Pick<OpsStore, 'connection' | 'keyValue'>): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>(TASK_STATES.map((state) => [state, 0]))
  const tasks: { readonly state: ReplayState; readonly storedAt: number }[] = []
  for await (const { value, storedAt } of keyValue.list<ReplayTask>('task'))
    tasks.push({ state: value.state, storedAt: Date.parse(storedAt) })
  const now = Date.parse((await streamInfo(connection, STORES.replays))?.ts ?? '')
  for (const { state, storedAt } of tasks) {
    const shown = state === 'running' && now - storedAt > SILENCE_MS ? 'stalled' : state
    const count = counts.get(shown)
    if (count !== undefined) counts.set(shown, count + 1)
  }
  return counts
}

/** Whether the broker keeps what `PELTON_DURABILITY` promises; undefined where it cannot be read. */
export async function isDurabilityMet(
  broker: DurabilityBroker,
  asked: Durability,
): Promise<boolean | undefined> {
  const streams = await readPromised(broker.connection)
  if (streams === undefined) return undefined
  const known = isMet({ ...streams, syncMs: undefined }, asked)
  return known ?? isMet({ ...streams, ...(await readSync(broker)) }, asked)
}

/** Reads something at most every so often; a call in between gets the same. A failure is read again at once. */
export function rarely<Value>(everyMs: number, read: () => Promise<Value>): () => Promise<Value> {
  let kept: Promise<Value> | undefined
  let readAt = Number.NEGATIVE_INFINITY
  return () => {
    if (kept !== undefined && performance.now() - readAt < everyMs) return kept
    readAt = performance.now()
    const fresh = read()
    kept = fresh
    fresh.catch(() => {
      if (kept === fresh) kept = undefined
    })
    return fresh
  }
}
