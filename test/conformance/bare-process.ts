import { InferenceSession, Tensor as RuntimeTensor } from 'onnxruntime-node'
import type { Datatype, Tensor } from '../../shared/sdk/contract/tensor.ts'
import type { BareAnswer, BareRequest } from './bare-runtime.ts'

// The runtime and nothing else: no file of services/worker is used here, so that it can contradict them.

/** As docs/architecture.md says a model runs: one thread, no spinning. */
const OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  logSeverityLevel: 4,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
}

const TYPES: readonly (readonly [Datatype, RuntimeTensor.Type])[] = [
  ['BOOL', 'bool'],
  ['UINT8', 'uint8'],
  ['UINT16', 'uint16'],
  ['UINT32', 'uint32'],
  ['UINT64', 'uint64'],
  ['INT8', 'int8'],
  ['INT16', 'int16'],
  ['INT32', 'int32'],
  ['INT64', 'int64'],
  ['FP16', 'float16'],
  ['FP32', 'float32'],
  ['FP64', 'float64'],
  ['BYTES', 'string'],
]

process.on('message', (request: BareRequest) => {
  void answer(request).then((message) => process.send?.(message))
})
process.on('disconnect', () => process.exit(0))
process.send?.({ kind: 'ready' })

async function answer({ path, inputs }: BareRequest): Promise<BareAnswer> {
  let session: InferenceSession | undefined
  try {
    session = await InferenceSession.create(path, OPTIONS)
  } catch (thrown) {
    return { kind: 'cannot-load', reason: String(thrown) }
  }
  try {
    const names = session.outputMetadata.filter((output) => output.isTensor).map(({ name }) => name)
    if (names.length === 0) return { kind: 'cannot-run', reason: 'no output is a tensor' }
    const first = await runOnce(session, inputs, names)
    const again = await runOnce(session, inputs, names)
    return { kind: 'ran', outputs: first, again }
  } catch (thrown) {
    return { kind: 'cannot-run', reason: String(thrown) }
  } finally {
    await session.release()
  }
}

async function runOnce(
  session: InferenceSession,
  inputs: readonly Tensor[],
  outputNames: readonly string[],
): Promise<Tensor[]> {
  const feeds: Record<string, RuntimeTensor> = {}
  for (const { name, datatype, data, shape } of inputs) {
    const type = TYPES.find(([ours]) => ours === datatype)?.[1]
    // What came in a message is a view at any offset; the runtime's last bits depend on where a tensor begins.
    feeds[name] = new RuntimeTensor(type as 'float32', (data as Float32Array).slice(), shape)
  }
  const fetched = await session.run(feeds, outputNames)
  return outputNames.map((name) => {
    const { type, dims, data } = fetched[name] as RuntimeTensor
    const datatype = TYPES.find(([, theirs]) => theirs === type)?.[0]
    if (datatype === undefined) throw new Error(`output ${name} is of type ${type}`)
    return { name, datatype, shape: dims, data: data as Tensor['data'] }
  })
}
