import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { expect } from 'vitest'
import { audit } from '../../../shared/operations/audit/audit.ts'
import type { AuditReport } from '../../../shared/operations/audit/report.ts'
import { reportLines } from '../../../shared/operations/audit/report-lines.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { eventMessage } from '../../../shared/sdk/event-message.ts'
import { streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { readStream } from '../../kit/outcomes.ts'
import { bareOutputs } from './bare-model.ts'
import type { Feed } from './feed.ts'
import type { Fleet } from './fleet.ts'
import { countRedeliveries, deliveringConsumers, readLedger } from './records.ts'
import type { StagedEvent } from './stage-events.ts'
import { type Ending, judge, type Verdict } from './verdict.ts'

/** How events shall end; without a word of it, every event is predicted. */
export interface Expectations {
  /** Events that shall be dead letters, by id: the reason, or several endings that are right. */
  readonly endings?:
    | ReadonlyMap<string, Ending | readonly Ending[]>
    | ((id: string) => Ending | readonly Ending[])
  /** Events an operator had replayed in this scenario. Default: none. */
  readonly isReplayed?: (id: string) => boolean
  /** For the table: what is worth knowing besides the numbers. */
  readonly note?: string
}

export interface Scene {
  readonly connection: NatsConnection
  readonly feeds: readonly Feed[]
  readonly fleet: Fleet
  readonly models: string
  readonly source: string
  /** Set when the scene is cleared away: whoever waits gives up. */
  readonly signal: AbortSignal
}

/** What a scenario came to. */
export interface Findings extends Verdict {
  readonly events: number
  readonly redeliveries: number
  readonly audit: AuditReport
}

const LOOK_MS = 200

/** Waits until no event waits anywhere, neither in FEATURES nor for a retry nor in a worker's hands. */
export async function drained({ connection, feeds, signal }: Scene): Promise<void> {
  await Promise.all(feeds.map(({ done }) => done))
  for (;;) {
    if (await isDrained(connection).catch(() => false)) return
    await sleep(LOOK_MS, undefined, { signal })
  }
}

async function isDrained(connection: NatsConnection): Promise<boolean> {
  const infos = await Promise.all(
    [STREAMS.features, STREAMS.retries].map((name) => streamInfo(connection, name)),
  )
  if (!infos.every((info) => info?.state.messages === 0)) return false
  const consumers = await deliveringConsumers(connection)
  return consumers.every(({ num_ack_pending }) => num_ack_pending === 0)
}

/** Reads and judges what is left once everything is drained. */
export async function examine(scene: Scene, expectations: Expectations): Promise<Findings> {
  const { connection, feeds, models, source, signal } = scene
  await drained(scene)
  const { report } = await audit(connection, { full: true, deep: true, signal })
  const accepted = feeds.flatMap((feed) => feed.accepted)
  const remains = {
    accepted,
    sent: new Map(feeds.flatMap((feed) => [...feed.sent])),
    results: await readStream(connection, STREAMS.results),
    deadLetters: await readStream(connection, STREAMS.deadLetters),
  }
  const verdict = await judge(remains, {
    endings: endingsOf(expectations),
    isReplayed: expectations.isReplayed ?? (() => false),
    outputs: (event, version) => bareOutputs(models, version, event),
    payload: (event) => payloadOf(event, source),
  })
  const redeliveries = countRedeliveries(await deliveringConsumers(connection), await readLedger(connection))
  return { ...verdict, events: accepted.length, redeliveries, audit: report }
}

/** Fails with the names of the events a promise was broken to. */
export function demandKept(findings: Findings): void {
  const { lost, doubled, strangers, wrong, misjudged, damaged, audit: report } = findings
  expect(lost, 'accepted events without an outcome').toEqual([])
  expect(doubled, 'events with more than one outcome').toEqual([])
  expect(strangers, 'tokens of outcomes nobody sent an event for').toEqual([])
  expect(misjudged, 'events that ended as they should not have').toEqual([])
  expect(wrong, 'predictions that are not the model’s own').toEqual([])
  expect(damaged, 'dead letters that do not hold their event').toEqual([])
  const told = reportLines(report).map(({ text }) => text)
  expect(report.clean, told.join('\n')).toBe(true)
  expect({ waiting: report.waiting, retries: report.retries.waiting }, told.join('\n')).toEqual({
    waiting: 0,
    retries: 0,
  })
}

/** What still waits, for the message of a scenario that does not come to its end. */
export async function describeRest({ connection, feeds, fleet }: Scene): Promise<string> {
  const infos = await Promise.all(
    [STREAMS.features, STREAMS.retries].map((name) => streamInfo(connection, name)),
  )
  const consumers = await deliveringConsumers(connection)
  const counts = feeds.map(
    ({ accepted, sent, size }) => `${accepted.length} accepted of ${sent.size} sent of ${size}`,
  )
  return [
    `feeds: ${counts.join('; ')}`,
    `waiting: FEATURES ${infos[0]?.state.messages}, RETRIES ${infos[1]?.state.messages}`,
    ...consumers
      .filter(({ num_pending, num_ack_pending }) => num_pending + num_ack_pending > 0)
      .map((one) => `${one.name}: ${one.num_pending} pending, ${one.num_ack_pending} handed out`),
    `workers: ${fleet.workers.length} up, ended ${fleet.ends.join(' ')}, failed starts ${fleet.failedStarts.length}`,
    ...fleet.failedStarts.slice(-1).map((text) => text.slice(0, 2_000)),
    ...fleet
      .logLines()
      .filter(({ level }) => level !== 'info' && level !== 30)
      .slice(-5)
      .map((line) => JSON.stringify(line)),
  ].join('\n')
}

function endingsOf({ endings }: Expectations): (id: string) => readonly Ending[] {
  const find = typeof endings === 'function' ? endings : (id: string) => endings?.get(id) ?? 'prediction'
  return (id) => [find(id)].flat()
}

function payloadOf(event: StagedEvent, source: string): Uint8Array {
  return eventMessage(event, { source, pool: 'default', now: 0 }).body
}
