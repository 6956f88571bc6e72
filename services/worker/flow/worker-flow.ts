import type { NatsConnection } from '@nats-io/transport-node'
import type { ApartRunner } from '../../../shared/models/apart-runner.ts'
import type { InferenceThreads, Ran } from '../../../shared/models/inference-threads.ts'
import { gatesOf } from '../../../shared/operations/models/breaker.ts'
import type { PoolModels } from '../../../shared/operations/models/pool-models.ts'
import { LoopBusy } from '../../../shared/runtime/loop-busy.ts'
import { encodeFlow, type FlowGate } from '../../../shared/sdk/contract/flow.ts'
import { flowSubject } from '../../../shared/sdk/contract/subjects.ts'
import { dataPathOf } from '../../../shared/sdk/jetstream/data-path.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { type CostSources, knownCostOf } from '../batch/learned.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { Batch } from '../prepare/prepared.ts'
import { type FlowFacts, Flows, type Said } from './flows.ts'

/** All workers of a pool together say of a model no more than twenty words a second, and a few less: timers differ. */
const BETWEEN_WORDS_MS = 55
/** A worker of many models says no more than 200 words a second. */
const FOR_EACH_MODEL_MS = 5

/** How often a worker speaks of each of its models, milliseconds: seldom where many do, or where there is much to say. */
export function sayingEveryMs(workers: number, models: number): number {
  return Math.max(BETWEEN_WORDS_MS * Math.max(1, workers), FOR_EACH_MODEL_MS * models)
}

/** What a worker is made of, as far as flows go by it. */
export interface FlowDeps extends Pick<FlowFacts, 'models'>, CostSources {
  readonly broker: {
    readonly connection: NatsConnection
    /** Broker time, milliseconds since 1970. */
    readonly now: () => number
  }
  readonly threads: Pick<InferenceThreads, 'onRan' | 'size' | 'costOf'>
  readonly pool: Pick<PoolModels, 'find' | 'workers' | 'onChange'>
  /** Why doors let in no events of a model. @default while its breaker is open */
  readonly gatesOf?: (model: string) => readonly FlowGate[]
}

/** Which worker it is. */
export interface FlowPlace {
  readonly name: string
  readonly pool: string
}

/** Says to the doors how busy a worker is with each model: as long as there is something to say, and until it is closed. */
export interface WorkerFlow {
  /** Deliveries came, together. */
  received(deliveries: readonly Delivery[]): void
  /** Events can be run: they wait for it. */
  read(events: Batch): void
  /** The same runner; its runs count. */
  timed(apart: Pick<ApartRunner, 'run'>): Pick<ApartRunner, 'run'>
  close(): void
}

export function openWorkerFlow(
  deps: FlowDeps,
  { name, pool }: FlowPlace,
  facts: Pick<FlowFacts, 'backlog' | 'held' | 'isApart'>,
): WorkerFlow {
  const { threads, models } = deps
  const busy = new LoopBusy()
  const flows = new Flows({
    ...{ name, models, ...facts },
    recordOf: (model) => deps.pool.find(model),
    threads: threads.size,
    costOf: (key) => knownCostOf(key, deps),
    loopShare: () => busy.share(),
    gatesOf: deps.gatesOf ?? ((model) => gatesOf(deps.pool.find(model), deps.broker.now())),
    random: Math.random,
  })
  threads.onRan((ran) => flows.ran(ran))
  const speaker = speakOf(flows, deps, pool)
  deps.pool.onChange((model) => {
    flows.speakOf(model, performance.now())
    speaker.wake()
  })
  return {
    received(deliveries) {
      flows.received(deliveries, performance.now())
      speaker.wake()
    },
    read: (events) => flows.read(events, performance.now()),
    timed: (apart) => timedRunner(apart, (ran) => flows.ranApart(ran)),
    close: speaker.close,
  }
}

/** Speaks again and again from when it is woken, until there is nothing to say any more. */
function speakOf(flows: Flows, { broker, pool: known }: Pick<FlowDeps, 'broker' | 'pool'>, pool: string) {
  let timer: NodeJS.Timeout | undefined
  let isClosed = false
  const everyMs = (): number => sayingEveryMs(known.workers.length, flows.size)
  // With whatever is received: mostly it is about to speak already.
  const isToWake = (): boolean => timer === undefined && !isClosed && flows.size > 0
  const speakIn = (ms: number): void => {
    timer = setTimeout(speak, ms).unref()
  }
  // Those of a fleet that were woken together do not speak together.
  const wake = (): void => {
    if (isToWake()) speakIn(everyMs() * Math.random())
  }
  const speak = (): void => {
    timer = undefined
    const saying = { nowMs: performance.now(), at: broker.now(), everyMs: everyMs() }
    for (const said of flows.say(saying)) publish(broker.connection, pool, said)
    if (isToWake()) speakIn(everyMs())
  }
  const close = (): void => {
    isClosed = true
    clearTimeout(timer)
  }
  return { wake, close }
}

/** Where nobody hears it, the next word is as good. */
function publish(connection: NatsConnection, pool: string, { model, flow }: Said): void {
  const subject = flowSubject(pool, model)
  if (subject === undefined || connection.isClosed() || connection.isDraining()) return
  dataPathOf(connection).publish(namesOf(connection).subject(subject), { body: encodeFlow(flow) })
}

function timedRunner(apart: Pick<ApartRunner, 'run'>, told: (ran: Ran) => void): Pick<ApartRunner, 'run'> {
  return {
    async run(model, inputs, options) {
      const beganMs = performance.now()
      try {
        return await apart.run(model, inputs, options)
      } finally {
        const [first] = inputs
        told({ key: model.key, rows: first?.shape[0] ?? 1, runMs: performance.now() - beganMs })
      }
    },
  }
}
