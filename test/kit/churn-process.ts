import { GCProfiler, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { NatsConnection } from '@nats-io/transport-node'
import { notLetIn } from '../../services/gateway/core/not-let-in.ts'
import { Expected, Wait, Waits } from '../../services/gateway/core/wait.ts'
import { refusedRequest } from '../../services/gateway/http/count-ended.ts'
import { createFigures } from '../../services/gateway/observe/figures.ts'
import { Dispatcher } from '../../services/worker/batch/dispatcher.ts'
import { type FlowFacts, Flows } from '../../services/worker/flow/flows.ts'
import type { Delivery } from '../../services/worker/intake/delivery.ts'
import { HeldDeliveries } from '../../services/worker/intake/held.ts'
import { Room } from '../../services/worker/intake/room.ts'
import type { Batch, Prepared } from '../../services/worker/prepare/prepared.ts'
import type { ServedModel } from '../../shared/models/repository.ts'
import { ModelDoor } from '../../shared/sdk/admission/model-door.ts'
import { LANES } from '../../shared/sdk/contract/subjects.ts'
import type { StoredResult } from '../../shared/sdk/result.ts'
import { deliveryOf } from './deliveries.ts'
import { flowOf } from './flow.ts'

/**
 * Sends very many events through one part of a worker or a gateway, a few at a time, in a heap that has grown old once; then tells how
 * often the whole heap had to be collected: never, unless the part keeps events for longer than they live.
 */

const ROUNDS = 4_000
const AT_ONCE = 32

/** An event and what hangs on it, half a KB: of its own, and garbage soon. */
const newDelivery = (sequence: number): Delivery => ({
  ...deliveryOf({ model: 'm', sequence }),
  digest: new Array(512).fill(sequence) as unknown as string,
})

/** Nothing is heard here: what is acknowledged goes nowhere. */
const connection = { isClosed: () => true } as unknown as NatsConnection

const PARTS: Readonly<Record<string, () => (sequence: number) => void>> = {
  held: () => {
    const room = new Room({ rows: 1_000_000, bytes: 1e12 })
    const held = new HeldDeliveries(connection, room, { ackWaitMs: 1e9 })
    const rounds: (readonly Delivery[])[] = []
    return (first) => {
      rounds.push(held.add(Array.from({ length: AT_ONCE }, (_, index) => newDelivery(first + index))))
      if (rounds.length > 4) held.acknowledgeAll(rounds.shift() ?? [])
    }
  },
  dispatcher: () => {
    const started: Batch[] = []
    const start = (batch: Batch): void => void started.push(batch)
    const never = (): boolean => false
    const dispatcher = new Dispatcher({ slots: 2, lingerMs: 0, isUrgent: never, isApart: never, start })
    return (first) => {
      const batch = Array.from({ length: AT_ONCE }, (_, index) => ({
        ...{ delivery: newDelivery(first + index), kind: 'm', rows: 1, maxBatchRows: AT_ONCE },
        ...{ model: dispatcher as unknown as Prepared['model'], runsAlone: false },
      }))
      dispatcher.add(batch as unknown as Batch)
      if (started.length > 1) dispatcher.free(started.shift() ?? [])
    }
  },
  flows: () => {
    const model = { name: 'm', key: 'm' } as unknown as ServedModel
    const flows = new Flows({ models: { find: () => model }, random: () => 0 } as unknown as FlowFacts)
    return (first) => {
      const deliveries = Array.from({ length: AT_ONCE }, (_, index) => newDelivery(first + index))
      flows.received(deliveries, first)
      flows.read(deliveries.map((delivery) => ({ delivery, model, rows: 1 })) as unknown as Batch, first)
    }
  },
  refusals: () => {
    const door = new ModelDoor()
    const gate = { limit: 'breaker', lanes: LANES, value: 1, measured: 2, retryAfterMs: 1_000 }
    door.hear(flowOf({ gates: [gate] }), 0)
    const figures = createFigures({ hasMetrics: false })
    const asking = { lane: 'normal', source: 's', deadlineMs: 1_000 } as const
    return () => {
      for (let index = 0; index < 8 * AT_ONCE; index++) {
        const refused = door.refuse(asking, 1)
        const refusal = refused && notLetIn(refused)
        if (refusal === undefined) throw new Error('it is let in')
        figures.ended(refusedRequest({ protocol: 'open-inference' }, refusal, index % 2 === 0 ? 'm' : 'n', 0))
      }
    }
  },
  waits: () => {
    const waits = new Waits()
    const never = { aborted: false, addEventListener: ignore, removeEventListener: ignore }
    const begin = (sequence: number): Wait => {
      const wait = new Wait(1e12, false, never as unknown as ConstructorParameters<typeof Wait>[2])
      const event = { register: 'r', token: 't', replyTo: 'i', isShared: false }
      new Expected(event).join(wait)
      waits.add(wait)
      wait.expected?.answer({ body: new Array(512).fill(sequence) } as unknown as StoredResult)
      return wait
    }
    const rounds: (readonly Wait[])[] = []
    return (first) => {
      rounds.push(Array.from({ length: AT_ONCE }, (_, index) => begin(first + index)))
      for (const wait of rounds.length > 4 ? (rounds.shift() ?? []) : []) {
        wait.letGo()
        waits.delete(wait)
        wait.expected?.leave(wait)
      }
    }
  },
}

function ignore(): void {}

const [part = ''] = process.argv.slice(2)
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const churn = (PARTS[part] as () => (sequence: number) => void)()
for (let round = 0; round < ROUNDS / 10; round++) churn(round * AT_ONCE)
collect()
collect()
const profiler = new GCProfiler()
profiler.start()
for (let round = 0; round < ROUNDS; round++) churn(round * AT_ONCE)
const { statistics } = profiler.stop()
const count = (kind: string): number => statistics.filter(({ gcType }) => gcType === kind).length
process.stdout.write(JSON.stringify({ whole: count('MarkSweepCompact'), young: count('Scavenge') }), () =>
  process.exit(0),
)
