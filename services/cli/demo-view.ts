import type { NatsConnection, Subscription } from '@nats-io/transport-node'
import { showCount, showDuration } from '../../shared/runtime/quantities.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { frameOf, readFrameHeaders } from '../../shared/sdk/jetstream/frame.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import { readResult } from '../../shared/sdk/result.ts'
import { areaUnderCurve } from '../demo/auc.ts'
import type { DemoProgress } from '../demo/demo.ts'
import { percentile } from '../demo/tally.ts'

/** What the demo shows while it runs. Everything is measured on the wire, beside the demo's own counting. */
export interface DemoView {
  /** Lines for a terminal. */
  lines(progress: DemoProgress): string[]
  close(): void
}

interface Window {
  at: number
  queueMs: number[]
  inferenceMs: number[]
  batchRows: number[]
}

const WINDOW_MS = 1_000
const BAR = 30

/**
 * Watches the results of a model as they are stored. A subscription of the broker's core reads along; it costs the
 * stream nothing.
 *
 * @param late whether the flight with this id was late, where that is known
 * @param output name of the output that is a probability
 */
export function createDemoView(
  connection: NatsConnection,
  model: string,
  late: ReadonlyMap<string, boolean>,
  output = 'probability',
): DemoView {
  const scores: number[] = []
  const labels: boolean[] = []
  const reasons = new Map<string, number>()
  let window = emptyWindow()
  let shown: string[] = []
  let waiting = 0

  const names = namesOf(connection)
  const read: Parameters<NatsConnection['subscribe']>[1] = {
    callback: (error, message) => {
      if (error !== null) return
      const subject = names.plainSubject(message.subject)
      const result = readResult(subject, readFrameHeaders(frameOf(message)), message.data)
      if (result?.kind === 'failure') reasons.set(result.reason, (reasons.get(result.reason) ?? 0) + 1)
      if (result?.kind !== 'prediction') return
      window.queueMs.push(result.queueMs)
      window.inferenceMs.push(result.inferenceMs)
      window.batchRows.push(result.batchRows)
      const wasLate = late.get(result.id)
      if (wasLate === undefined) return
      scores.push(Number(result.value(output)))
      labels.push(wasLate)
    },
  }
  const subscription: Subscription = connection.subscribe(names.subject(subjects.resultFilter(model)), read)
  const timer = setInterval(() => {
    void streamInfo(connection, STREAMS.features)
      .then((info) => {
        waiting = info?.state.messages ?? 0
      })
      .catch(() => undefined) // the next second asks again
    const auc = hasBoth(labels) ? areaUnderCurve(scores, labels).toFixed(4) : '–'
    shown = windowLines(window, { waiting, auc, reasons })
    window = emptyWindow()
  }, WINDOW_MS)
  return {
    lines: (progress) => [progressLine(progress), ...shown],
    close: () => {
      clearInterval(timer)
      subscription.unsubscribe()
    },
  }
}

function emptyWindow(): Window {
  return { at: performance.now(), queueMs: [], inferenceMs: [], batchRows: [] }
}

function progressLine({ sent, answered, total }: DemoProgress): string {
  const done = Math.round((BAR * answered) / Math.max(1, total))
  return `${'█'.repeat(done)}${'░'.repeat(BAR - done)}  ${showCount(answered)} of ${showCount(total)} answered, ${showCount(sent)} sent`
}

interface Totals {
  readonly waiting: number
  readonly auc: string
  readonly reasons: ReadonlyMap<string, number>
}

function windowLines(window: Window, { waiting, auc, reasons }: Totals): string[] {
  const rate = window.queueMs.length / Math.max(0.001, (performance.now() - window.at) / 1_000)
  const backlog = waiting === 0 ? '0 s' : rate === 0 ? 'no answers' : showDuration((waiting / rate) * 1_000)
  const of = (values: number[], share: number): number =>
    percentile(
      values.sort((a, b) => a - b),
      share,
    )
  const ms = (value: number): string => (Number.isNaN(value) ? '–' : `${value.toFixed(1)} ms`)
  const rows = of(window.batchRows, 0.5)
  const given = [...reasons].map(([reason, count]) => `${reason} ${count}`).join(', ')
  return [
    `  rate          ${showCount(rate)} predictions/s`,
    `  backlog       ${backlog} (${showCount(waiting)} events)`,
    `  batch rows    ${Number.isNaN(rows) ? '–' : `${rows} in the middle, ${of(window.batchRows, 1)} at most`}`,
    `  queue         p50 ${ms(of(window.queueMs, 0.5))}, p99 ${ms(of(window.queueMs, 0.99))}; model p50 ${ms(of(window.inferenceMs, 0.5))}`,
    `  dead letters  ${given || 'none'}`,
    `  AUC           ${auc}`,
  ]
}

function hasBoth(labels: readonly boolean[]): boolean {
  return labels.includes(true) && labels.includes(false)
}
