import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { quantile, type Stage } from '../../scale/stage.ts'
import { type Measured, RATE } from '../compare/figures.ts'
import { limit, type Ratio, ratio } from './bars.ts'
import { publishAll } from './binary.ts'
import { ownAnswersToRows } from './inspect.ts'
import { writeSlowModel } from './made-models.ts'
import { measureWorker, type WorkerLoad } from './on-jetstream.ts'
import { INPUT } from './onnx-file.ts'
import type { BenchOptions } from './options.ts'
import { measureOwn } from './own-store.ts'
import type { ScenarioResult, Subject } from './result.ts'
import { type Measurable, measureAll } from './rounds.ts'
import type { Workplace } from './workplace.ts'

const ROW_MS = [1, 10] as const
const ROWS = 50
/** Rows of a batch of the bare runtime: a row costs nearly the same in each. */
const BATCHES = [1, 8, 16] as const
/** As a worker takes them where nothing is set. */
const threads = Math.max(2, availableParallelism() - 1)
/** More than a worker has under way. */
const COOL_DOWN = 64 * (threads + 1)
const PING = fileURLToPath(new URL('../compare/ping.cjs', import.meta.url))
const PING_P99 = 'broker ping p99 ms'
const IDLE_P99 = 'the same of an idle process'
const PING_RATIO = 'broker ping p99 ÷ that of an idle process'

/** Models that take their time, beside the bare runtime with as many threads; how soon the broker is heard meanwhile. */
export async function measureHeavy(
  workplace: Workplace,
  { rounds, seconds }: BenchOptions,
): Promise<ScenarioResult[]> {
  const measurables: Measurable[] = []
  const subjects: Subject[] = []
  for (const rowMs of ROW_MS) {
    const { load, path, tookMs } = await slowLoad(workplace, rowMs, seconds)
    measurables.push(
      { name: `pelton-${rowMs}`, measure: () => withPings(workplace, load) },
      { name: `runtime-${rowMs}`, measure: () => bestBatch(workplace, path, seconds) },
    )
    const settings = `${tookMs.toFixed(2)} ms a row on one thread, ${threads} threads`
    subjects.push(
      { name: `pelton-${rowMs}`, title: 'a worker, one row an event', settings },
      { name: `runtime-${rowMs}`, title: 'the bare runtime at its best batch', settings },
    )
  }
  const runs = await measureAll(workplace, rounds, measurables)
  return [
    {
      scenario: 'heavy',
      title: 'Heavy models',
      told: { seconds, rounds, threads },
      subjects,
      absent: [],
      runs,
    },
  ]
}

/** Events of one row for a model that takes so long for each, for so many seconds; and that model, and what it takes by itself. */
export async function slowLoad(
  workplace: Workplace,
  rowMs: number,
  seconds: number,
): Promise<{ readonly load: WorkerLoad; readonly path: string; readonly tookMs: number }> {
  const models = join(workplace.folder, 'heavy-models')
  const model = `slow-${rowMs}`
  const tookMs = await writeSlowModel(models, model, rowMs)
  const path = join(models, model, '1', 'model.onnx')
  const rows = Array.from({ length: ROWS }, (_row, at) => Float32Array.of(at / ROWS))
  const perSecond = (threads * 1_000) / tookMs
  const load = {
    warmUp: Math.ceil(perSecond),
    events: Math.ceil(perSecond * seconds),
    coolDown: COOL_DOWN,
    models,
    truth: await ownAnswersToRows(path, rows),
    fill: (stage: Stage, count: number) =>
      publishAll(stage, count, (index) => ({
        model,
        inputs: [{ name: INPUT, datatype: 'FP32', shape: [1, 1], data: rows[index % ROWS] ?? [] }],
      })),
  }
  return { load, path, tookMs }
}

export function heavyRatios(result: ScenarioResult): Ratio[] {
  const names = result.subjects.map(({ name }) => name).filter((name) => name.startsWith('pelton'))
  return [
    ...ratio(result, RATE, ['pelton-1', 'runtime-1'], { kind: 'at least', bar: 0.85 }),
    ...ratio(result, RATE, ['pelton-10', 'runtime-10'], { kind: 'at least', bar: 0.95 }),
    ...names.flatMap((name) => limit(result, PING_RATIO, name, { kind: 'at most', bar: 2 })),
  ]
}

/** A drain, with pings of its broker from the worker, and from a process that does nothing else. */
async function withPings(workplace: Workplace, load: WorkerLoad): Promise<Measured> {
  const pings = join(workplace.folder, 'pings')
  const pids: number[] = []
  const window = { from: 0, to: 0 }
  const measured = await measureWorker(workplace, {
    ...load,
    worker: { args: ['--require', PING], env: { PELTON_BENCH_PINGS: pings } },
    beside: async ({ url }, pid) => {
      const idle = spawn(process.execPath, ['--require', PING, '-e', IDLE_PROGRAM], {
        env: { ...process.env, PELTON_NATS_URL: url, PELTON_BENCH_PINGS: pings },
        stdio: 'ignore',
      })
      pids.push(pid, idle.pid ?? 0)
      window.from = Date.now()
      return async () => {
        window.to = Date.now()
        idle.kill('SIGTERM')
        await once(idle, 'exit')
      }
    },
  })
  const [own = Number.NaN, idle = Number.NaN] = await Promise.all(
    pids.map(async (pid) => p99Of(await readFile(`${pings}.${pid}`, 'utf8'), window)),
  )
  const figures = { [PING_P99]: own, [IDLE_P99]: idle, [PING_RATIO]: own / idle }
  return { ...measured, figures: { ...measured.figures, ...figures } }
}

const IDLE_PROGRAM = "process.on('SIGTERM', () => process.exit(0)); setInterval(() => undefined, 1_000)"

/** Of what ping.cjs wrote, within a time. */
function p99Of(text: string, { from, to }: { readonly from: number; readonly to: number }): number {
  const within = text
    .split('\n')
    .map((line) => line.split(' ').map(Number))
    .filter(([at = 0]) => at >= from && at <= to)
  return quantile(
    within.map(([, tookMs = 0]) => tookMs),
    0.99,
  )
}

/** The fastest of some sizes of a batch, found by short runs. */
async function bestBatch({ entry, signal }: Workplace, path: string, seconds: number): Promise<Measured> {
  const run = (rows: number, forSeconds: number): Promise<Measured> => {
    const args = [entry('test/bench/peers/threads-process'), path, rows, threads, forSeconds].map(String)
    return measureOwn({ program: { args }, stores: [], signal })
  }
  let best = { rows: 1, rate: 0 }
  for (const rows of BATCHES) {
    const rate = (await run(rows, 1)).figures[RATE] ?? 0
    if (rate > best.rate) best = { rows, rate }
  }
  const measured = await run(best.rows, seconds)
  return { ...measured, conditions: { ...measured.conditions, 'rows of a batch': best.rows } }
}
