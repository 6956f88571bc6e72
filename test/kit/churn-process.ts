import { GCProfiler, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { NatsConnection } from '@nats-io/transport-node'
import { Dispatcher } from '../../services/worker/batch/dispatcher.ts'
import { type FlowFacts, Flows } from '../../services/worker/flow/flows.ts'
import type { Delivery } from '../../services/worker/intake/delivery.ts'
import { HeldDeliveries } from '../../services/worker/intake/held.ts'
import { Room } from '../../services/worker/intake/room.ts'
import type { Batch, Prepared } from '../../services/worker/prepare/prepared.ts'
import type { ServedModel } from '../../shared/models/repository.ts'
import { deliveryOf } from './deliveries.ts'

/**
 * Sends very many events through one part of a worker, a few at a time, in a heap that has grown old once; then tells how
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
}

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
