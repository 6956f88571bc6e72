// What 500 models in one folder cost: start-up, memory, pull rate; and how one of them runs beside the others.
// npx tsx test/scale/many-models.ts [--models=500] [--events=20000] [--runs=3]
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../services/demo/models.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { median, memoryOf, numberArgument, openStage, rateOf } from './stage.ts'

const count = numberArgument('models', 500)
const events = numberArgument('events', 20_000)
const runs = numberArgument('runs', 3)
const flights = await loadFlights({ count: 20_000 })
const folder = await mkdtemp(join(tmpdir(), 'pelton-many-'))
const names = Array.from({ length: count }, (_, index) => `model-${index}`)

interface Figures {
  readonly startMs: number
  readonly readyMiB: number
  readonly peakMiB: number
  readonly eventsPerSecond: number
}

/** One worker on a folder of models, with events waiting for some of them. */
async function measure(models: string, used: readonly string[]): Promise<Figures> {
  const stage = await openStage()
  try {
    await stage.publishFlights(flights, events, used)
    const startedAt = performance.now()
    const worker = await startWorkerProcess({ url: stage.url, models })
    try {
      const startMs = performance.now() - startedAt
      const { nowMiB: readyMiB } = await memoryOf(worker.pid)
      const eventsPerSecond = rateOf(await stage.answered(events))
      return { startMs, readyMiB, peakMiB: (await memoryOf(worker.pid)).peakMiB, eventsPerSecond }
    } finally {
      worker.kill('SIGTERM')
      await worker.ended
    }
  } finally {
    await stage.close()
  }
}

/** The model that is used has its place in the middle of the others. */
const used = names[Math.floor(count / 2)] as string
for (const name of names)
  await cp(join(DEMO_MODELS, DEMO_MODEL, '2'), join(folder, 'many', name, '1'), { recursive: true })
await cp(join(DEMO_MODELS, DEMO_MODEL, '2'), join(folder, 'alone', used, '1'), { recursive: true })

const settings = {
  alone: () => measure(join(folder, 'alone'), [used]),
  [`one of ${count}`]: () => measure(join(folder, 'many'), [used]),
  [`all ${count} in turn`]: () => measure(join(folder, 'many'), names),
}
const taken = new Map<string, Figures[]>(Object.keys(settings).map((name) => [name, []]))
try {
  for (let run = 0; run < runs; run++) {
    for (const [name, take] of Object.entries(settings)) {
      const figures = await take()
      taken.get(name)?.push(figures)
      console.log(
        name,
        JSON.stringify(figures, (_, value) => (typeof value === 'number' ? Math.round(value) : value)),
      )
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

const medians = [...taken].map(([name, figures]) => {
  const of = (key: keyof Figures): number => median(figures.map((figure) => figure[key]))
  console.log(
    `${name}: ready in ${(of('startMs') / 1_000).toFixed(2)} s with ${of('readyMiB').toFixed(0)} MiB, ` +
      `peak ${of('peakMiB').toFixed(0)} MiB, ${of('eventsPerSecond').toFixed(0)} events/s (median of ${runs})`,
  )
  return of('eventsPerSecond')
})
console.log(
  `one of ${count} runs at ${(Number(medians[1]) / Number(medians[0])).toFixed(3)} of the rate it has alone`,
)
