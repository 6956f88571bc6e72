// Peak memory of a worker that finds 50,000 or 500,000 waiting events, three runs of each in turn.
// npx tsx test/scale/backlog-memory.ts [--small=50000] [--large=500000] [--runs=3]
import { loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../services/demo/models.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { median, memoryOf, numberArgument, openStage, rateOf } from './stage.ts'

const flights = await loadFlights({ count: 20_000 })
const sizes = [numberArgument('small', 50_000), numberArgument('large', 500_000)] as const
const runs = numberArgument('runs', 3)
const peaks = new Map<number, { partly: number; drained: number }[]>(sizes.map((size) => [size, []]))

/** The peak when as many events as in the small backlog are answered, and when all are. */
async function measure(size: number): Promise<{ partly: number; drained: number }> {
  const stage = await openStage({ featuresMaxPerSubject: 1_000_000 })
  try {
    await stage.publishFlights(flights, size, [DEMO_MODEL])
    const worker = await startWorkerProcess({ url: stage.url, models: DEMO_MODELS })
    try {
      const first = await stage.answered(sizes[0])
      const partly = (await memoryOf(worker.pid)).peakMiB
      const rest = size > sizes[0] ? await stage.answered(size) : first
      const drained = (await memoryOf(worker.pid)).peakMiB
      console.log(
        `${size} waiting: peak ${partly.toFixed(1)} MiB after ${sizes[0]} answers, ${drained.toFixed(1)} MiB after all; ` +
          `${rateOf(rest).toFixed(0)} events/s`,
      )
      return { partly, drained }
    } finally {
      worker.kill('SIGTERM')
      await worker.ended
    }
  } finally {
    await stage.close()
  }
}

for (let run = 0; run < runs; run++) for (const size of sizes) peaks.get(size)?.push(await measure(size))

for (const kind of ['partly', 'drained'] as const) {
  const [small = Number.NaN, large = Number.NaN] = sizes.map((size) =>
    median((peaks.get(size) ?? []).map((peak) => peak[kind])),
  )
  const when = kind === 'partly' ? `after ${sizes[0]} answers` : 'after all answers'
  console.log(
    `median peak ${when}: ${small.toFixed(1)} MiB with ${sizes[0]} waiting, ${large.toFixed(1)} MiB with ${sizes[1]}; ` +
      `ratio ${(large / small).toFixed(3)}`,
  )
}
