import { readOutcomes } from '../../kit/outcomes.ts'
import { openStage, type Stage } from '../../scale/stage.ts'
import type { Side } from './checkout.ts'
import { startMeter } from './cpu.ts'
import { cpuFigures, latencyFigures, type Measured, OTHER_WORK } from './figures.ts'
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
export async function measureOpenLoop(side: Side, load: OpenLoad, signal: AbortSignal): Promise<Measured> {
  const stage = await openStage({}, side.provision)
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
    return {
      figures: { ...latencyFigures(await latencies(stage, load, sent)), ...cpuFigures(cpu, after - before) },
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

/** Of each event that counts. @throws when one has no prediction */
async function latencies(
  { connection }: Stage,
  { perSecond, warmUp, events }: OpenLoad,
  { startMs }: Sent,
): Promise<number[]> {
  const { predictions } = await readOutcomes(connection)
  return Array.from({ length: events }, (_event, offset) => {
    const index = warmUp + offset
    const at = predictions.get(loadToken(index))?.storedAt
    if (at === undefined) throw new Error(`event ${index} has no prediction`)
    return at - (startMs + intendedMs(index, perSecond))
  })
}
