import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { readOutcomes } from '../../kit/outcomes.ts'
import { openStage, quantile, type Stage } from '../../scale/stage.ts'
import type { Side } from './checkout.ts'
import { startMeter } from './cpu.ts'
import { cpuFigures, latencyFigures, type Measured, OTHER_WORK, QUEUE_P50, QUEUE_P99 } from './figures.ts'
import { loadToken, type Sent, startGenerator } from './generator.ts'
import { intendedMs, voidReason } from './pacing.ts'
import { startWorkerUnderTest, type WorkerUnderTest } from './worker-under-test.ts'

export interface OpenLoad {
  readonly perSecond: number
  /** Events sent at this rate before anything counts. */
  readonly warmUp: number
  readonly events: number
}

/**
 * How long events wait for their outcome at a fixed rate: from when each was to be sent, whatever held it up, to when
 * the broker stored its prediction.
 */
export async function measureOpenLoop(
  side: Pick<Side, 'program' | 'provision'>,
  load: OpenLoad,
  signal: AbortSignal,
): Promise<Measured> {
  const stage = await openStage({ provision: side.provision })
  try {
    const worker = await startWorkerUnderTest({ args: [side.program] }, stage, signal)
    try {
      return await sendAndMeasure(stage, worker, load, signal)
    } finally {
      await worker.stop()
    }
  } finally {
    await stage.close()
  }
}

async function sendAndMeasure(
  stage: Stage,
  worker: WorkerUnderTest,
  load: OpenLoad,
  signal: AbortSignal,
): Promise<Measured> {
  const { perSecond, warmUp, events } = load
  const generator = await startGenerator({ url: stage.url, perSecond, warmUp, count: events }, signal)
  try {
    await generator.begin()
    const processes = { worker: worker.pid, brokers: stage.brokerPids, generator: generator.pid }
    const since = await startMeter({ ...processes, threadNames: worker.threadNames })
    const before = await stage.outcomes()
    const sent = await generator.sent
    const after = await worker.answered(warmUp + events)
    const cpu = await since()
    const reason = voidReason(sent)
    const waits = await waitsOf(stage, load, sent)
    return {
      figures: {
        ...latencyFigures(waits.map(({ latencyMs }) => latencyMs)),
        [QUEUE_P50]: quantile(
          waits.map(({ queueMs }) => queueMs),
          0.5,
        ),
        [QUEUE_P99]: quantile(
          waits.map(({ queueMs }) => queueMs),
          0.99,
        ),
        ...cpuFigures(cpu, after - before),
      },
      conditions: {
        'generator late p50 ms': sent.lateMs.p50,
        'generator late p99 ms': sent.lateMs.p99,
        'generator late max ms': sent.lateMs.max,
        [OTHER_WORK]: 100 * cpu.others,
      },
      ...(reason !== undefined && { void: reason }),
    }
  } finally {
    await generator.stop()
  }
}

interface Wait {
  /** From when it was to be sent to when its prediction was stored. */
  readonly latencyMs: number
  /** From being stored to being started, by its worker. */
  readonly queueMs: number
}

/** Of each event that counts. @throws when one has no prediction */
async function waitsOf(
  { connection }: Stage,
  { perSecond, warmUp, events }: OpenLoad,
  { startMs }: Sent,
): Promise<Wait[]> {
  const { predictions } = await readOutcomes(connection)
  return Array.from({ length: events }, (_event, offset) => {
    const index = warmUp + offset
    const prediction = predictions.get(loadToken(index))
    if (prediction === undefined) throw new Error(`event ${index} has no prediction`)
    return {
      latencyMs: prediction.storedAt - (startMs + intendedMs(index, perSecond)),
      queueMs: Number(readHeader(prediction.headers, HEADERS.queueMs)),
    }
  })
}
