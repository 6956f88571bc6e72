import { predict, runOn } from '../../services/worker/infer/predict.ts'
import type { Delivery } from '../../services/worker/intake/delivery.ts'
import { prepare } from '../../services/worker/prepare/prepare.ts'
import type { Batch } from '../../services/worker/prepare/prepared.ts'
import { packTensors } from '../../shared/models/packed-tensors.ts'
import { openRepository, type ServedModel } from '../../shared/models/repository.ts'
import { encodeRequest } from '../../shared/sdk/contract/open-inference.ts'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'
import { deliveryOf } from '../kit/deliveries.ts'
import { modelsFolder } from '../kit/models-folder.ts'

// What a worker's loop pays between an event's body and its answer's, without broker and model: `node --import tsx
// test/bench/columns.ts`. Bodies become the inputs of batches of 64, ready to be sent to a thread; outputs become bodies.
// Pure work in one process: its processor time, garbage collection included, in microseconds an event, the middle of
// eleven rounds and the lowest. With a word as argument,
// only what has it in its name.

const ROUNDS = 11
const BATCH = 64
const EVENTS = 64 * BATCH

interface Contestant {
  readonly name: string
  readonly model: string
  readonly delivery: (index: number) => Delivery
  readonly outputs: (rows: number) => readonly Tensor[]
}

const airports = ['DTW', 'ORD', 'LAX', 'ATL', 'MIA', 'EWR']
const flight = (index: number) => ({
  origin: airports[index % 6],
  destination: airports[(index + 2) % 6],
  hour: index % 24,
  weekday: index % 7,
  distance: 200 + (index % 2000),
  origin_delay: ((index * 7) % 997) / 10,
  inbound_delay: (((index * 11) % 397) - 84) / 10,
  destination_delay: ((index * 13) % 611) / 10,
  route_delay: (50 - ((index * 17) % 401)) / 10,
  origin_departures: ((index * 19) % 499) / 10,
})

function flights(name: string, body: (index: number) => string): Contestant {
  return {
    name,
    model: 'flight-delay',
    delivery: (index) => deliveryOf({ model: 'flight-delay', id: `flight-${index}`, body: body(index) }),
    outputs: (rows) => [
      { name: 'label', datatype: 'INT64', shape: [rows], data: new BigInt64Array(rows) },
      {
        name: 'probability',
        datatype: 'FP32',
        shape: [rows],
        data: Float32Array.from({ length: rows }, (_, row) => Math.abs(Math.sin(row + 1))),
      },
    ],
  }
}

function vectors(form: 'JSON' | 'binary', width: number): Contestant {
  return {
    name: `${form}, one tensor of ${width} floats`,
    model: 'free-columns',
    delivery(index) {
      const data = Float32Array.from({ length: width }, (_, at) => Math.fround(Math.sin(index + at)))
      const delivery = deliveryOf({ model: 'free-columns', id: `event-${index}` })
      const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, width], data }] as const
      const binary = form === 'binary'
      const request = binary ? { inputs, parameters: { binary_data_output: true } } : { inputs }
      const { body, contentType, inferenceHeaderLength } = encodeRequest(request, { binary })
      const event = {
        ...delivery.event,
        body,
        contentType,
        inferenceHeaderLength: inferenceHeaderLength?.toString(),
      }
      return { ...delivery, body, event }
    },
    outputs: (rows) => [
      {
        name: 'score',
        datatype: 'FP32',
        shape: [rows, width],
        data: Float32Array.from({ length: rows * width }, (_, at) => Math.sin(at)),
      },
    ],
  }
}

const CONTESTANTS: readonly Contestant[] = [
  flights('flights, ten features', (index) => JSON.stringify({ features: flight(index) })),
  flights('flights, asking for an output', (index) =>
    JSON.stringify({ features: flight(index), outputs: [{ name: 'probability' }] }),
  ),
  flights('flights, with an id of their own', (index) =>
    JSON.stringify({ features: flight(index), id: `flight-${index}` }),
  ),
  flights('flights, with an escape in each', (index) =>
    JSON.stringify({ features: { ...flight(index), origin: 'M\u00fc\n' } }),
  ),
  vectors('JSON', 32),
  vectors('binary', 32),
  vectors('JSON', 1024),
  vectors('binary', 1024),
]

async function main(): Promise<void> {
  const folder = await modelsFolder(['free-columns'])
  const demo = await openRepository({
    folder: new URL('../../services/demo/models', import.meta.url).pathname,
  })
  const kit = await openRepository({ folder: folder.path })
  const models: readonly ServedModel[] = [...demo.models, ...kit.models]
  const find = (name: string): ServedModel | undefined => models.findLast((model) => model.name === name)
  const word = process.argv[2] ?? ''
  for (const contestant of CONTESTANTS)
    if (contestant.name.includes(word)) await measure(contestant, { models, find })
  await folder.remove()
}

function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

type Known = Parameters<typeof prepare>[1]

async function measure({ name, delivery, outputs }: Contestant, models: Known): Promise<void> {
  const deliveries = Array.from({ length: EVENTS }, (_, index) => delivery(index))
  const made = outputs(BATCH)
  const sends = runOn({
    threads: {
      run: async (_, inputs) => {
        packTensors(inputs)
        return []
      },
      isSlow: () => false,
    },
    apart: { run: () => Promise.reject(new Error('nothing runs apart')) },
    isApart: () => false,
  })
  const times = { prepare: [] as number[], join: [] as number[], answer: [] as number[] }
  for (let round = 0; round < ROUNDS; round++) {
    const begun = cpuMicroseconds()
    const passed = prepare(deliveries, models, 0) as Batch
    const prepared = cpuMicroseconds()
    const batches = Array.from({ length: EVENTS / BATCH }, (_, at) =>
      passed.slice(at * BATCH, (at + 1) * BATCH),
    )
    const cut = cpuMicroseconds()
    for (const batch of batches) await sends(batch)
    const joined = cpuMicroseconds()
    for (const batch of batches) {
      const [first] = await predict(
        batch,
        async () => made,
        () => 0,
      )
      if (first?.outcome.kind !== 'predicted') throw new Error(JSON.stringify(first?.outcome))
    }
    times.prepare.push(prepared - begun)
    times.join.push(joined - cut)
    times.answer.push(cpuMicroseconds() - joined)
  }
  const told = Object.entries(times).map(([stage, each]) => {
    const sorted = each.map((used) => used / EVENTS).sort((one, other) => one - other)
    const [middle, least] = [sorted[Math.floor(ROUNDS / 2)], sorted[0]] as [number, number]
    return `${stage} ${middle.toFixed(2).padStart(6)} (${least.toFixed(2).padStart(5)})`
  })
  process.stdout.write(`${name.padEnd(34)} ${told.join('  ')} µs\n`)
}

await main()
