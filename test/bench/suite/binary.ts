import { join } from 'node:path'
import type { EventToPublish } from '../../../shared/sdk/event-message.ts'
import type { Stage } from '../../scale/stage.ts'
import { RATE } from '../compare/figures.ts'
import { type Ratio, ratio } from './bars.ts'
import { ownAnswersToRows } from './inspect.ts'
import { featureNames, writeSumModel } from './made-models.ts'
import { measureWorker, traceparentOf } from './on-jetstream.ts'
import { INPUT } from './onnx-file.ts'
import type { BenchOptions } from './options.ts'
import type { ScenarioResult } from './result.ts'
import { type Measurable, measureAll } from './rounds.ts'
import type { Workplace } from './workplace.ts'

const WIDTHS = [32, 1_024] as const
const FORMS = ['json', 'binary'] as const
/** Rows that events repeat. */
const ROWS = 500
const CHUNK = 1_000
/** Wide events are fewer: a backlog of them has to be published first. */
const WIDE_SHARE = 0.25

type Form = (typeof FORMS)[number]

/** The same rows as JSON features and as binary tensors, of a model that does next to nothing with them. */
export async function measureBinary(
  workplace: Workplace,
  { rounds, events }: BenchOptions,
): Promise<ScenarioResult[]> {
  const models = join(workplace.folder, 'wide-models')
  const measurables: Measurable[] = []
  for (const width of WIDTHS) {
    const model = `sum-${width}`
    await writeSumModel(models, model, width)
    const rows = rowsOf(width)
    const truth = await ownAnswersToRows(join(models, model, '1', 'model.onnx'), rows)
    const own = Math.ceil(events * (width > WIDTHS[0] ? WIDE_SHARE : 1))
    for (const form of FORMS) {
      const fill = (stage: Stage, count: number): Promise<void> =>
        publishAll(stage, count, (index) => eventOf(form, model, rows[index % ROWS] ?? new Float32Array()))
      const load = { warmUp: Math.ceil(own / 4), events: own, models, fill, truth }
      measurables.push({ name: `${form}-${width}`, measure: () => measureWorker(workplace, load) })
    }
  }
  const subjects = measurables.map(({ name }) => {
    const [form, width] = name.split('-')
    return { name, title: `${width} features as ${form}`, settings: 'one row an event, a model that sums' }
  })
  const runs = await measureAll(workplace, rounds, measurables)
  return [
    { scenario: 'binary', title: 'Binary tensors', told: { events, rounds }, subjects, absent: [], runs },
  ]
}

export function binaryRatios(result: ScenarioResult): Ratio[] {
  return [
    ...ratio(result, RATE, ['binary-32', 'json-32'], { kind: 'at least', bar: 1 }),
    ...ratio(result, RATE, ['binary-1024', 'json-1024'], { kind: 'at least', bar: 2 }),
  ]
}

/** Numbers with a few digits, as measurements have them; every run has the same. */
function rowsOf(width: number): Float32Array[] {
  return Array.from({ length: ROWS }, (_row, row) =>
    Float32Array.from({ length: width }, (_value, at) => ((row * 7_919 + at * 104_729) % 100_003) / 1_000),
  )
}

function eventOf(form: Form, model: string, row: Float32Array): EventToPublish {
  if (form === 'binary')
    return {
      model,
      binary: true,
      inputs: [{ name: INPUT, datatype: 'FP32', shape: [1, row.length], data: row }],
    }
  return {
    model,
    features: Object.fromEntries(featureNames(row.length).map((name, at) => [name, row[at] ?? 0])),
  }
}

/** Publishes events `event-0` and so on, with trace contexts. */
export async function publishAll(
  { producer }: Pick<Stage, 'producer'>,
  count: number,
  eventAt: (index: number) => EventToPublish,
): Promise<void> {
  for (let done = 0; done < count; done += CHUNK) {
    const chunk = Array.from({ length: Math.min(CHUNK, count - done) }, (_event, at) => {
      const index = done + at
      const named = { id: `event-${index}`, traceparent: traceparentOf(index) }
      return producer.publish({ ...eventAt(index), ...named })
    })
    await Promise.all(chunk)
  }
}
