import { setTimeout as sleep } from 'node:timers/promises'
import { jetstream } from '@nats-io/jetstream'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { subjects, tokenOfSubject } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { eventMessage } from '../../../shared/sdk/event-message.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { openStage, type Stage } from '../../scale/stage.ts'
import { latencyFigures, type Measured } from '../compare/figures.ts'
import { type Program, startWorkerUnderTest } from '../compare/worker-under-test.ts'
import type { Workplace } from './workplace.ts'

/** Between an answer and the next event: all is idle again. */
const PAUSE_MS = 3
const WARM_UP = 200
const STUCK_MS = 20_000

export interface OneByOne {
  readonly program: Program
  readonly events: number
  /** Looks at what is stored; returns why the run does not count. */
  readonly inspect?: (stage: Stage, events: number) => Promise<string | undefined>
}

/** How long one event takes on an idle pipeline: from being sent until somebody who reads RESULTS has its result. */
export async function measureOneByOne(
  { flights, signal }: Workplace,
  { program, events, inspect }: OneByOne,
): Promise<Measured> {
  const stage = await openStage()
  try {
    const worker = await startWorkerUnderTest(program, stage, signal)
    try {
      const tookMs = await sendOneByOne(stage, flights, WARM_UP + events, signal)
      const reason = await inspect?.(stage, WARM_UP + events)
      return {
        figures: latencyFigures(tookMs.slice(WARM_UP)),
        conditions: {},
        ...(reason !== undefined && { void: reason }),
      }
    } finally {
      await worker.stop()
    }
  } finally {
    await stage.close()
  }
}

async function sendOneByOne(
  { connection }: Stage,
  flights: Workplace['flights'],
  count: number,
  signal: AbortSignal,
): Promise<number[]> {
  const reader = await jetstream(connection).consumers.get(STREAMS.results, {
    filter_subjects: subjects.resultFilter(DEMO_MODEL),
  })
  const results = await reader.consume()
  const arrivals = results[Symbol.asyncIterator]()
  const window = new PublishWindow(connection)
  const tookMs: number[] = []
  for (let index = 0; index < count; index++) {
    const features = { ...flights[index % flights.length]?.features }
    const event = { model: DEMO_MODEL, id: `event-${index}`, features }
    const message = eventMessage(event, { source: 'bench', pool: 'default', now: Date.now() })
    const sentAt = performance.now()
    const stored = window.publish(message)
    const { value: result } = await within(arrivals.next(), signal)
    tookMs.push(performance.now() - sentAt)
    if (result === undefined || tokenOfSubject(result.subject) !== message.token)
      throw new Error(`${message.id} was not the next to be answered`)
    await stored
    await sleep(PAUSE_MS)
  }
  window.close()
  results.stop()
  return tookMs
}

async function within<Value>(awaited: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const stuck = new AbortController()
  const late = sleep(STUCK_MS, undefined, { signal: AbortSignal.any([signal, stuck.signal]) }).then(() => {
    throw new Error(`no answer for ${STUCK_MS / 1_000} s`)
  })
  late.catch(() => undefined) // stopped, because the answer came
  try {
    return await Promise.race([awaited, late])
  } finally {
    stuck.abort()
  }
}
