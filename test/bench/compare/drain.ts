import type { NatsConnection } from '@nats-io/transport-node'
import type { FlightEvent } from '../../../services/demo/flights.ts'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../../shared/sdk/jetstream/api.ts'
import { openStage, peakOf, type Stage, type StageOptions } from '../../scale/stage.ts'
import { startMeter } from './cpu.ts'
import { BROKER_MEMORY, cpuFigures, type Measured, OTHER_WORK, PEAK_MEMORY, RATE } from './figures.ts'
import { type Program, refuseDeadLetters, startWorkerUnderTest } from './worker-under-test.ts'

export interface DrainLoad {
  readonly flights: readonly FlightEvent[]
  /** Answered before anything is measured: the model opens, the code is compiled. */
  readonly warmUp: number
  readonly events: number
  /** Answered after those that count, which so do not end with half a batch under way. @default 0 */
  readonly coolDown?: number
}

/** Published at a time: between two it is seen whether to stop. */
const CHUNK = 5_000

/** What drains a backlog, and from what. */
export interface DrainTarget extends StageOptions {
  readonly program: Program
  /** Publishes events `event-0` and so on. @default flights, as a producer of Pelton does */
  readonly fill?: (stage: Stage, count: number) => Promise<void>
  /** Told when the program is warm; what it returns, when all is answered. */
  readonly beside?: (stage: Stage, pid: number) => Promise<() => Promise<void>>
  /** Looks at what is stored once the program has ended; returns why the run does not count. */
  readonly inspect?: (stage: Stage) => Promise<string | undefined>
}

/** How fast a worker answers events that wait, and what each costs, once it is warm. */
export async function measureDrain(
  target: DrainTarget,
  load: DrainLoad,
  signal: AbortSignal,
): Promise<Measured> {
  const stage = await openStage(target)
  try {
    if (target.fill === undefined) await fill(stage, load, signal)
    else await target.fill(stage, totalOf(load))
    const measured = await drain(target, stage, load, signal)
    const reason = await target.inspect?.(stage)
    return { ...measured, ...(reason !== undefined && { void: reason }) }
  } finally {
    await stage.close()
  }
}

async function drain(
  { program, beside }: DrainTarget,
  stage: Stage,
  load: DrainLoad,
  signal: AbortSignal,
): Promise<Measured> {
  const worker = await startWorkerUnderTest(program, stage, signal)
  try {
    const first = await worker.answered(load.warmUp)
    const endBeside = await beside?.(stage, worker.pid)
    const since = await startMeter({ ...worker, worker: worker.pid, brokers: stage.brokerPids })
    const last = await worker.answered(load.warmUp + load.events)
    const cpu = await since()
    await endBeside?.()
    await worker.answered(totalOf(load))
    await refuseDeadLetters(stage)
    const rate = await rateBetween(stage, first, last)
    const memory = {
      [PEAK_MEMORY]: await peakOf([worker.pid]),
      [BROKER_MEMORY]: await peakOf(stage.brokerPids),
    }
    return {
      figures: { [RATE]: rate, ...cpuFigures(cpu, last - first), ...memory },
      conditions: { [OTHER_WORK]: 100 * cpu.others },
    }
  } finally {
    await worker.stop()
  }
}

function totalOf({ warmUp, events, coolDown = 0 }: DrainLoad): number {
  return warmUp + events + coolDown
}

async function fill(stage: Stage, load: DrainLoad, signal: AbortSignal): Promise<void> {
  for (let left = totalOf(load); left > 0; left -= CHUNK) {
    signal.throwIfAborted()
    await stage.publishFlights(load.flights, Math.min(CHUNK, left), [DEMO_MODEL])
  }
}

/** Events a second between two outcomes, by when the broker stored them: looking from outside is no part of it. */
export async function rateBetween({ connection }: Stage, first: number, last: number): Promise<number> {
  const ms = (await storedAt(connection, last)) - (await storedAt(connection, first))
  return ((last - first) * 1_000) / ms
}

/** Nothing but one outcome for an event is ever stored in RESULTS: the nth has sequence n. */
async function storedAt(connection: NatsConnection, sequence: number): Promise<number> {
  const { message } = await requestApi<{ readonly message: { readonly time: string } }>(
    connection,
    `STREAM.MSG.GET.${STREAMS.results}`,
    { seq: sequence },
  )
  return Date.parse(message.time)
}
