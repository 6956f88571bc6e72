import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { provision } from '../../../shared/sdk/jetstream/provision.ts'
import { prepareSide, type Side } from '../compare/checkout.ts'
import { latencyFigures, type Measured, QUEUE_P50, QUEUE_P99, RATE } from '../compare/figures.ts'
import { measureOpenLoop } from '../compare/open-loop.ts'
import { openBareModel } from './bare-model.ts'
import { limit, type Ratio, ratio } from './bars.ts'
import { whyVoid } from './inspect.ts'
import { measureWorker } from './on-jetstream.ts'
import { measureOneByOne } from './one-by-one.ts'
import type { BenchOptions } from './options.ts'
import { namesOf, type ScenarioResult, type Subject, type SubjectRun } from './result.ts'
import { type Measurable, measureAll } from './rounds.ts'
import { MODEL_PATH, type Workplace } from './workplace.ts'

const IDLE = 'Latency on an idle pipeline'
const STEADY = 'Latency at a steady rate'
const P50 = 'latency p50 ms'
const P99 = 'latency p99 ms'
/** Of one run: how much longer the last in a hundred waits. */
const TAIL = 'queue p99 ÷ p50'
/** Told where the rate is a part of what a backlog is drained at. */
const OF_CAPACITY = 'of capacity'
const MODEL_RUNS = 2_000
const WARM_UP_SECONDS = 3
const CAPACITY_EVENTS = 40_000

type Target = Pick<Side, 'program' | 'provision' | 'label'> & { readonly name: string }

/** One event on an idle pipeline, then how long events wait at a steady rate. */
export async function measureLatency(workplace: Workplace, options: BenchOptions): Promise<ScenarioResult[]> {
  const targets = await targetsOf(workplace, options.other)
  return [await measureIdle(workplace, targets, options), await measureSteady(workplace, targets, options)]
}

export function latencyRatios(result: ScenarioResult): Ratio[] {
  if (result.title === IDLE)
    return [
      ...ratio(result, P50, ['pelton', 'bare'], { kind: 'at most', bar: 1.5 }),
      ...ratio(result, P99, ['pelton', 'bare'], { kind: 'at most', bar: 3 }),
      ...ratio(result, P50, ['pelton', 'thread']),
      ...ratio(result, P50, ['thread', 'bare']),
    ]
  const half = { kind: 'at most', bar: 0.5 } as const
  return [
    ...ratio(result, QUEUE_P50, ['pelton', 'other'], half),
    ...ratio(result, QUEUE_P99, ['pelton', 'other'], half),
    ...(OF_CAPACITY in result.told ? limit(result, TAIL, 'pelton', { kind: 'at most', bar: 5 }) : []),
  ]
}

async function targetsOf(
  { entry, otherFolder, note, signal }: Workplace,
  other: string | undefined,
): Promise<readonly Target[]> {
  const own = { name: 'pelton', label: 'this checkout', program: entry('services/worker/main'), provision }
  if (other === undefined) return [own]
  return [
    own,
    { ...(await prepareSide('base', other, { folder: otherFolder, note, signal })), name: 'other' },
  ]
}

async function measureIdle(
  workplace: Workplace,
  targets: readonly Target[],
  { rounds, events }: BenchOptions,
): Promise<ScenarioResult> {
  const { entry, signal } = workplace
  const truth = await workplace.truth()
  const workers = targets.map(({ name, program }): Measurable => {
    const inspect = (stage: Parameters<typeof whyVoid>[0], all: number) => whyVoid(stage, truth, all, signal)
    return {
      name,
      measure: () => measureOneByOne(workplace, { program: { args: [program] }, events, inspect }),
    }
  })
  const hops = { args: [entry('test/bench/peers/hops-process'), DEMO_MODEL] }
  const thread = { args: [...hops.args, MODEL_PATH] }
  const runs = await measureAll(workplace, rounds, [
    ...workers,
    { name: 'hops', measure: () => measureOneByOne(workplace, { program: hops, events }) },
    { name: 'thread', measure: () => measureOneByOne(workplace, { program: thread, events }) },
    { name: 'model', measure: () => measureModel(workplace) },
  ])
  const told = { events, rounds }
  const all = [...runs, ...sums(runs, rounds)]
  return { scenario: 'latency', title: IDLE, told, subjects: idleSubjects(targets), absent: [], runs: all }
}

function idleSubjects(targets: readonly Target[]): readonly Subject[] {
  const settings = 'one row an event, the next when the last is answered'
  return [
    ...targets.map(({ name, label }) => ({ name, title: 'from sent to read', settings: label })),
    { name: 'bare', title: 'two bare hops and the model', settings: 'the sum of hops and model' },
    { name: 'hops', title: 'two bare hops: an event stored, delivered, stored, delivered', settings },
    { name: 'thread', title: 'two bare hops, and between them the model in a thread', settings },
    {
      name: 'model',
      title: 'one row in the bare runtime',
      settings: `${MODEL_RUNS} runs, one after the other`,
    },
  ]
}

/** The model's own time for one row, tensors included. */
async function measureModel({ flights }: Workplace): Promise<Measured> {
  const model = await openBareModel(MODEL_PATH)
  const tookMs: number[] = []
  for (let run = 0; run < MODEL_RUNS; run++) {
    const startedAt = performance.now()
    await model.run(model.feeds([{ ...flights[run % flights.length]?.features }]))
    tookMs.push(performance.now() - startedAt)
  }
  return { figures: latencyFigures(tookMs), conditions: {} }
}

/** Hops and model of each round together. */
function sums(runs: readonly SubjectRun[], rounds: number): SubjectRun[] {
  return Array.from({ length: rounds }, (_round, round) => {
    const parts = runs.filter((run) => run.round === round && ['hops', 'model'].includes(run.subject))
    const figures = Object.fromEntries(
      namesOf(parts, 'figures').map((name) => [
        name,
        parts.reduce((sum, run) => sum + (run.figures[name] ?? Number.NaN), 0),
      ]),
    )
    return { subject: 'bare', round, figures, conditions: {} }
  })
}

async function measureSteady(
  workplace: Workplace,
  targets: readonly Target[],
  { rounds, seconds, rate }: BenchOptions,
): Promise<ScenarioResult> {
  const perSecond = 'perSecond' in rate ? rate.perSecond : rate.ofCapacity * (await capacityOf(workplace))
  const load = {
    perSecond,
    warmUp: Math.ceil(perSecond * WARM_UP_SECONDS),
    events: Math.ceil(perSecond * seconds),
  }
  const measurables = targets.map((target): Measurable => {
    return { name: target.name, measure: () => measureTarget(target, load, workplace.signal) }
  })
  return {
    scenario: 'latency',
    title: STEADY,
    told: {
      rate: Math.round(perSecond),
      ...('ofCapacity' in rate && { [OF_CAPACITY]: rate.ofCapacity }),
      seconds,
      rounds,
    },
    subjects: targets.map(({ name, label }) => ({ name, title: 'one worker', settings: label })),
    absent: [],
    runs: await measureAll(workplace, rounds, measurables),
  }
}

async function measureTarget(
  target: Target,
  load: Parameters<typeof measureOpenLoop>[1],
  signal: AbortSignal,
): Promise<Measured> {
  const measured = await measureOpenLoop(target, load, signal)
  const { [QUEUE_P50]: p50 = Number.NaN, [QUEUE_P99]: p99 = Number.NaN } = measured.figures
  return { ...measured, figures: { [TAIL]: p99 / p50, ...measured.figures } }
}

/** Events a second of a backlog, in one run. */
async function capacityOf(workplace: Workplace): Promise<number> {
  workplace.note('measuring what a backlog is drained at')
  const load = { warmUp: CAPACITY_EVENTS / 4, events: CAPACITY_EVENTS, truth: await workplace.truth() }
  const { figures } = await measureWorker(workplace, load)
  return figures[RATE] ?? Number.NaN
}
