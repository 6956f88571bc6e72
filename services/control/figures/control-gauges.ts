import { countForgotten, countLost } from '../../../shared/operations/audit/report.ts'
import { lags, silences } from '../../../shared/operations/broker/replicas.ts'
import type { Gate } from '../../../shared/operations/gates/gates.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import { ended } from '../../../shared/operations/replay/task.ts'
import { ALERT_KINDS } from '../../../shared/operations/watch-record/alert.ts'
import { type Meters, openMeters, type Report } from '../../../shared/runtime/meters.ts'
import type { Durability } from '../../../shared/sdk/broker/server.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import type { Voice } from '../flow/voice.ts'
import type { Audits } from '../hosting/audits.ts'
import type { HostedReplays } from '../hosting/hosted-replays.ts'
import type { Watch } from '../watch/watch.ts'
import {
  type Figures,
  figureDeadLetters,
  figureTasks,
  isDurabilityMet,
  limitsUsed,
  rarely,
  readFigures,
} from './figures.ts'

export interface GaugesDeps {
  readonly store: Pick<OpsStore, 'connection' | 'keyValue'>
  /** False while there is no connection: no scrape is to wait for an answer then. */
  readonly isReachable: () => boolean
  readonly watch: Watch
  readonly voice: Pick<Voice, 'gates'>
  readonly replays: HostedReplays
  readonly audits: Audits
  readonly durability: Durability
  /** Where the monitoring of the servers is, when it is known: it may be another one after a restart of a server. */
  readonly monitorUrls: () => Promise<readonly string[] | undefined>
}

/** One reading of the metrics asks for all of them: they share what was read. */
const FRESH_MS = 2_000
const SLOW_MS = 60_000

/** The metrics of control. Nothing is read from the broker until a scrape or an export asks for them. */
export function openControlGauges(deps: GaugesDeps): void {
  const meters = openMeters('control')
  const figures = rarely(FRESH_MS, () => reachable(deps, () => readFigures(deps.store.connection)))
  openStreamGauges(meters, figures)
  openConsumerGauges(meters, figures)
  openReplicaGauges(meters, deps)
  openWatchGauges(meters, deps)
  openDoorGauges(meters, deps)
  openWorkGauges(meters, deps)
  openReplayGauges(meters, deps)
}

async function reachable<Value>({ isReachable }: GaugesDeps, read: () => Promise<Value>): Promise<Value> {
  if (isReachable()) return read()
  throw new PeltonError('broker-unavailable', 'there is no connection to the broker')
}

type Key = Parameters<Meters['gauge']>[0]

/** What cannot be read now is missing in this reading: a scrape must not fail because of it. */
function gauge(meters: Meters, key: Key, read: (report: Report) => Promise<void>): void {
  meters.gauge(key, (report) => read(report).catch(() => undefined))
}

function openStreamGauges(meters: Meters, figures: () => Promise<Figures>): void {
  const each = (
    key: Key,
    value: (info: NonNullable<ReturnType<Figures['streams']['get']>>) => number,
  ): void =>
    gauge(meters, key, async (report) => {
      for (const [name, info] of (await figures()).streams) report(value(info), { stream_name: name })
    })
  each('streamMessages', ({ state }) => state.messages)
  each('streamBytes', ({ state }) => state.bytes)
  each('streamLimitMessages', ({ config }) => Number(config.max_msgs ?? -1))
  each('streamLimitBytes', ({ config }) => Number(config.max_bytes ?? -1))
  gauge(meters, 'streamLimitUsed', async (report) => {
    const read = await figures()
    for (const name of read.streams.keys())
      for (const [limit, share] of limitsUsed(name, read)) report(share, { stream_name: name, limit })
  })
  gauge(meters, 'oldestResultAge', async (report) => {
    const results = (await figures()).streams.get(STREAMS.results)
    const first = results?.state.first_ts
    if (results === undefined || results.state.messages === 0 || first === undefined) return report(0)
    report(Math.max(0, Date.parse(results.ts) - Date.parse(first)) / 1_000)
  })
}

function openConsumerGauges(meters: Meters, figures: () => Promise<Figures>): void {
  for (const [key, field] of [
    ['consumerPending', 'num_pending'],
    ['consumerAckPending', 'num_ack_pending'],
    ['consumerRedelivered', 'num_redelivered'],
  ] as const) {
    gauge(meters, key, async (report) => {
      for (const consumer of (await figures()).consumers)
        report(consumer[field], { stream_name: consumer.stream, consumer_name: consumer.name })
    })
  }
}

/** From the last look: a scrape asks the broker for none of it. */
function openReplicaGauges(meters: Meters, { watch }: GaugesDeps): void {
  meters.gauge('serverSilence', (report) => {
    for (const [server_name, silentMs] of silences(watch.looked?.groups ?? []))
      if (silentMs !== undefined) report(silentMs / 1_000, { server_name })
  })
  meters.gauge('replicaLag', (report) => {
    for (const { server, stream, lag } of lags(watch.looked?.groups ?? []))
      report(lag, { server_name: server, stream_name: stream })
  })
  meters.gauge('leaderless', (report) => {
    const groups = watch.looked?.groups ?? []
    for (const stream_name of new Set(groups.map(({ stream }) => stream))) {
      const unled = groups.filter(({ stream, leader }) => stream === stream_name && leader === undefined)
      report(unled.length, { stream_name })
    }
  })
  meters.gauge('consumerPaused', (report) => {
    for (const { stream, consumer, pausedUntil } of watch.looked?.streams.flatMap(({ lanes }) => lanes) ?? [])
      report(pausedUntil === undefined ? 0 : 1, { stream_name: stream, consumer_name: consumer })
  })
}

/** Only the control service that watches tells what the watch found: several would count it several times. */
function openWatchGauges(meters: Meters, { watch }: GaugesDeps): void {
  meters.gauge('orphans', (report) => {
    for (const { stream, lanes } of watch.looked?.streams ?? []) {
      const names = new Set(lanes.map(({ consumer }) => consumer))
      const alerts = watch.record.alerts.filter(({ kind, about }) => kind === 'orphans' && names.has(about))
      report(
        alerts.reduce((sum, { count }) => sum + count, 0),
        { stream_name: stream },
      )
    }
  })
  meters.gauge('watchAlerts', (report) => {
    report(watch.unwatched === undefined ? 0 : 1, { kind: 'unwatched' }) // every one of them: nobody else could
    if (!watch.isLeader) return
    // A kind that is over is told as none: a series that vanished would say nothing.
    for (const kind of ALERT_KINDS.filter((each) => each !== 'unwatched'))
      report(watch.record.alerts.filter((alert) => alert.kind === kind).length, { kind })
  })
  meters.gauge('unservedEvents', (report) => {
    if (watch.looked === undefined) return
    const unserved = watch.looked.streams.flatMap((stream) => stream.unserved)
    report(unserved.reduce((sum, { count }) => sum + count, 0))
  })
  meters.gauge('noticesWithoutDeadLetter', (report) => {
    if (!watch.isLeader) return
    const found = watch.record.alerts.find(({ kind }) => kind === 'notice-without-dead-letter')
    report(found?.count ?? 0)
  })
  meters.gauge('supersededDeadLetters', (report) => {
    if (watch.looked !== undefined) report(watch.looked.superseded)
  })
  meters.gauge('oldestEventAge', (report) => {
    if (watch.looked !== undefined) report(watch.looked.oldestEventMs / 1_000)
  })
}

/** Only of the control service that speaks to the doors. */
function openDoorGauges(meters: Meters, { voice }: GaugesDeps): void {
  const each = (key: Key, value: (gate: Gate) => number): void =>
    meters.gauge(key, (report) => {
      for (const gate of voice.gates)
        for (const lane of gate.lanes) report(value(gate) / gate.bound, { limit: gate.limit, lane })
    })
  each('flowGateValue', ({ measured }) => measured)
  each('flowGateThreshold', ({ from }) => from)
}

function openWorkGauges(meters: Meters, deps: GaugesDeps): void {
  const { audits, durability, monitorUrls } = deps
  const { connection } = deps.store
  const letters = rarely(SLOW_MS, () => reachable(deps, () => figureDeadLetters(connection)))
  gauge(meters, 'deadLetters', async (report) => {
    for (const { model, reason, count } of await letters()) report(count, { model, reason })
  })
  const met = rarely(SLOW_MS, () =>
    reachable(deps, async () =>
      isDurabilityMet({ connection, monitorUrls: await monitorUrls() }, durability),
    ),
  )
  gauge(meters, 'durabilityMet', async (report) => {
    const isMet = await met()
    if (isMet !== undefined) report(isMet ? 1 : 0)
  })
  meters.gauge('auditLastClean', (report) => {
    if (audits.last?.report.clean === true) report(audits.last.endedAt / 1_000)
  })
  meters.gauge('auditLost', (report) => {
    if (audits.last === undefined) return
    const { wentBackFrom, lastSequence } = audits.last.report
    const givenAgain = wentBackFrom === undefined ? 0 : wentBackFrom - lastSequence
    report(countLost(audits.last.report) + givenAgain + countForgotten(audits.last.report))
  })
}

function openReplayGauges(meters: Meters, deps: GaugesDeps): void {
  const { replays, store, watch } = deps
  meters.gauge('replayEvents', (report) => {
    const sums = { predicted: 0, failed: 0, superseded: 0, under_way: 0, left: 0 }
    for (const { task, inFlight } of replays.running) {
      const { predicted, failed, superseded } = task.counts
      sums.predicted += predicted
      sums.failed += failed
      sums.superseded += superseded
      sums.under_way += inFlight
      sums.left += Math.max(
        0,
        Math.min(task.total, task.options.cap ?? task.total) - ended(task.counts) - inFlight,
      )
    }
    for (const [state, count] of Object.entries(sums)) report(count, { state })
  })
  const tasks = rarely(SLOW_MS, () => reachable(deps, () => figureTasks(store)))
  gauge(meters, 'replayTasks', async (report) => {
    if (!watch.isLeader) return // tasks are everybody's: several would count each several times
    for (const [state, count] of await tasks()) report(count, { state })
  })
}
