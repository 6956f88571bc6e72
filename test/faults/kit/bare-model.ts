import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { InferenceSession, Tensor as RuntimeTensor } from 'onnxruntime-node'
import type { StagedEvent } from './stage-events.ts'

/** Values of each output, by name. */
export type Outputs = ReadonlyMap<string, ArrayLike<unknown>>

type Feeds = Record<string, RuntimeTensor>

const RUNTIME_TYPES: Readonly<Record<string, RuntimeTensor.Type>> = {
  FP32: 'float32',
  FP64: 'float64',
  INT64: 'int64',
  INT32: 'int32',
  BYTES: 'string',
}

const sessions = new Map<string, Promise<InferenceSession>>()
/** Scenarios of one file share events: what a flight's answer is, is asked once. */
const answers = new Map<string, WeakMap<object, Promise<Outputs>>>()

/** What the runtime alone says of one event by itself, in a session of this process: one row, no batch, no Pelton. */
export function bareOutputs(models: string, version: string, event: StagedEvent): Promise<Outputs> {
  const path = join(models, event.model, version, 'model.onnx')
  const known = answers.get(path) ?? new WeakMap<object, Promise<Outputs>>()
  answers.set(path, known)
  const inputs = event.features ?? event.inputs
  if (inputs === undefined) throw new Error(`event ${event.id} carries neither features nor inputs`)
  const answer = known.get(inputs) ?? run(path, event)
  known.set(inputs, answer)
  return answer
}

/** Versions of a model in a models folder. */
export async function versionsOf(models: string, model: string): Promise<string[]> {
  const names = await readdir(join(models, model)).catch(() => [])
  return names.filter((name) => /^\d+$/.test(name))
}

/** Frees the sessions; answers stay. */
export async function closeBareModels(): Promise<void> {
  const open = await Promise.all(sessions.values())
  sessions.clear()
  await Promise.all(open.map((session) => session.release()))
}

async function run(path: string, event: StagedEvent): Promise<Outputs> {
  const session = await (sessions.get(path) ?? openSession(path))
  const feeds = event.features === undefined ? feedsOfInputs(event) : feedsOfFeatures(session, event.features)
  const names = session.outputMetadata.filter(({ isTensor }) => isTensor).map(({ name }) => name)
  const outputs = await session.run(feeds, names)
  return new Map(Object.entries(outputs).map(([name, { data }]) => [name, data as ArrayLike<unknown>]))
}

function openSession(path: string): Promise<InferenceSession> {
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const opened = InferenceSession.create(path, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
  })
  sessions.set(path, opened)
  return opened
}

function feedsOfFeatures(session: InferenceSession, features: Readonly<Record<string, unknown>>): Feeds {
  const feeds: Feeds = {}
  for (const input of session.inputMetadata) {
    const value = features[input.name]
    const type = input.isTensor ? input.type : 'none'
    if (type === 'string') feeds[input.name] = new RuntimeTensor(type, [String(value)], [1, 1])
    else if (type === 'int64')
      feeds[input.name] = new RuntimeTensor(type, BigInt64Array.of(BigInt(value as number)), [1, 1])
    else feeds[input.name] = new RuntimeTensor('float32', Float32Array.of(Number(value)), [1, 1])
  }
  return feeds
}

/** Inputs given as typed arrays. */
function feedsOfInputs({ inputs = [] }: StagedEvent): Feeds {
  const feeds: Feeds = {}
  for (const { name, datatype, shape, data } of inputs) {
    const type = RUNTIME_TYPES[datatype]
    if (type === undefined || !ArrayBuffer.isView(data))
      throw new Error(
        `input ${name}: scenarios give typed arrays of ${Object.keys(RUNTIME_TYPES).join(', ')}`,
      )
    feeds[name] = new RuntimeTensor(type, data as never, shape)
  }
  return feeds
}
