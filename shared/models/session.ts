import { basename } from 'node:path'
import type { InferenceSession, Tensor as RuntimeTensor } from 'onnxruntime-node'
import type { Datatype, Tensor, TensorData } from '../sdk/contract/tensor.ts'
import { messageOf, PeltonError, showValue } from '../sdk/errors.ts'
import { seeModels } from './models-page.ts'
import { explainLoadFailure, plainReason } from './runtime-reason.ts'
import type { Signature, TensorSpec } from './signature.ts'
import { unpackTexts } from './work.ts'

/** A model that is loaded in this thread. */
export interface Session {
  /** As the runtime tells it: inputs with a value of their own are absent, and so are outputs no tensor can hold. */
  readonly signature: Signature
  /** Outputs that are no tensors Pelton carries (a ZipMap of scikit-learn, say). They are never asked for. */
  readonly omittedOutputs: readonly string[]
  /**
   * Runs the model; blocks this thread until it is done. `outputNames` default to all outputs of the signature.
   * Throws `inference-failed` with the runtime's reason in one line.
   */
  run(inputs: readonly Tensor[], outputNames?: readonly string[]): Promise<Tensor[]>
  /** Frees the model. Not while a run is under way. */
  release(): Promise<void>
}

type RuntimeType = RuntimeTensor.Type
type Runtime = typeof import('onnxruntime-node')

const RUNTIME_TYPES: Readonly<Record<Datatype, RuntimeType>> = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
}

const DATATYPE_OF: ReadonlyMap<string, Datatype> = new Map(
  (Object.entries(RUNTIME_TYPES) as [Datatype, string][]).map(([datatype, type]) => [type, datatype]),
)

// One thread per run and no spinning: several sessions side by side beat one with several threads, and a pool that
// spins burns a core while idle. Messages of the runtime come back as errors, so its own log stays quiet.
const OPTIONS: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  logSeverityLevel: 4,
  extra: { session: { intra_op: { allow_spinning: '0' } } },
}

/**
 * Sets the switch that keeps the runtime from writing telemetry files and from parsing the command line, on which it
 * can crash. Only the main thread's environment reaches native code, so processes that start inference threads call
 * this before they start the first.
 */
export function disableRuntimeTelemetry(): void {
  process.env.ORT_DISABLE_TELEMETRY = '1'
}

/**
 * Loads the model at `path`. Throws `model-refused` when the runtime cannot load it or a tensor cannot be carried,
 * `model-unavailable` when memory or the locale the model asks for is missing here.
 */
export async function openSession(path: string): Promise<Session> {
  disableRuntimeTelemetry()
  const runtime = await import('onnxruntime-node').catch(cannotLoad)
  runtime.env.logLevel = 'fatal'
  keepHalvesAsBits(runtime)
  const native = await load(runtime, path)
  try {
    const signature = readSignature(native)
    const names = signature.outputs.map((output) => output.name)
    return {
      signature,
      omittedOutputs: native.outputNames.filter((name) => !names.includes(name)),
      run: (inputs, outputNames = names) => run(runtime, native, inputs, outputNames),
      release: () => native.release(),
    }
  } catch (thrown) {
    await native.release()
    throw thrown
  }
}

/** That is no fault of the model. */
function cannotLoad(cause: unknown): never {
  const details = {
    field: 'onnxruntime-node',
    value: messageOf(cause),
    remedy: 'Install the packages again.',
  }
  throw new PeltonError('model-unavailable', 'the ONNX runtime cannot be loaded', details, cause)
}

/**
 * On a Node that has Float16Array (24 and newer) the runtime's JavaScript makes one of each float16 tensor, and its
 * native part takes none: "not enough space: expected 4, got 0". It looks for that class once, when it makes its first
 * tensor; so that is made here, with the class out of sight. Then float16 tensors hold bits, as on older Nodes.
 */
function keepHalvesAsBits({ Tensor: NativeTensor }: Runtime): void {
  const known = Object.getOwnPropertyDescriptor(globalThis, 'Float16Array')
  if (known === undefined) return
  Reflect.deleteProperty(globalThis, 'Float16Array')
  try {
    new NativeTensor('uint8', new Uint8Array(1), [1])
  } finally {
    Object.defineProperty(globalThis, 'Float16Array', known)
  }
}

/** Reasons of the runtime that a good model gets on a machine that lacks something. */
const OF_THE_PLACE = /locale|bad_?alloc|out of memory|allocate memory|system error number/i

async function load(runtime: Runtime, path: string): Promise<InferenceSession> {
  try {
    return await runtime.InferenceSession.create(path, OPTIONS)
  } catch (cause) {
    const message = String(cause instanceof Error ? cause.message : cause)
    const { reason, remedy } = explainLoadFailure(message.replaceAll(path, basename(path)))
    const code = OF_THE_PLACE.test(message) ? 'model-unavailable' : 'model-refused'
    throw new PeltonError(code, `the runtime cannot load it: ${reason}`, { remedy }, cause)
  }
}

function readSignature(native: InferenceSession): Signature {
  if (native.inputNames.includes(UNUSABLE_NAME)) throw unusableName('input')
  if (native.outputNames.includes(UNUSABLE_NAME)) throw unusableName('output') // no run of it succeeds
  const inputs = native.inputMetadata.map((input) => {
    const spec = toSpec(input)
    if (spec !== undefined) return spec
    throw new PeltonError('model-refused', 'an input is of a kind Pelton cannot feed', {
      field: `inputs.${input.name}`,
      value: input.isTensor ? input.type : 'no tensor',
      remedy: `Export the model with inputs that are tensors of the usual datatypes. ${seeModels('exporting')}`,
    })
  })
  const outputs = native.outputMetadata.map(toSpec).filter((spec) => spec !== undefined)
  if (outputs.length === 0) {
    throw new PeltonError('model-refused', 'no output is a tensor Pelton can carry', {
      field: 'outputs',
      value: showValue(native.outputNames),
      remedy: `Export the model with a tensor output. ${seeModels('exporting')}`,
    })
  }
  return { inputs, outputs, constants: [] }
}

/** It cannot be the key of a plain object, which is how the runtime takes and gives tensors. */
const UNUSABLE_NAME = '__proto__'

function unusableName(place: 'input' | 'output'): PeltonError {
  return new PeltonError('model-refused', `an ${place} has a name that cannot be used`, {
    field: place,
    value: UNUSABLE_NAME,
    remedy: `Rename it, and export the model again. ${seeModels('exporting')}`,
  })
}

function toSpec(value: InferenceSession.ValueMetadata): TensorSpec | undefined {
  if (!value.isTensor) return undefined
  const datatype = DATATYPE_OF.get(value.type)
  if (datatype === undefined) return undefined
  const shape = value.shape.map((dimension) => (typeof dimension === 'number' ? dimension : null))
  return { name: value.name, datatype, shape }
}

async function run(
  { Tensor: NativeTensor }: Runtime,
  native: InferenceSession,
  inputs: readonly Tensor[],
  outputNames: readonly string[],
): Promise<Tensor[]> {
  try {
    const feeds: Record<string, RuntimeTensor> = {}
    for (const { name, datatype, data, shape } of inputs.map(unpackTexts)) {
      // The runtime's type pairs each name with its array; ours holds the same pairs.
      feeds[name] = new NativeTensor(RUNTIME_TYPES[datatype] as 'float32', data as Float32Array, shape)
    }
    const fetched = await native.run(feeds, outputNames)
    return outputNames.map((name) => fromRuntime(name, fetched[name]))
  } catch (thrown) {
    if (thrown instanceof PeltonError) throw thrown
    const reason = plainReason(String(thrown instanceof Error ? thrown.message : thrown))
    throw new PeltonError('inference-failed', `the model failed: ${reason}`, {}, thrown)
  }
}

function fromRuntime(name: string, value: RuntimeTensor | undefined): Tensor {
  const datatype = value === undefined ? undefined : DATATYPE_OF.get(value.type)
  if (value === undefined || datatype === undefined) {
    throw new PeltonError('invalid-output', 'the model did not give an output it declares', {
      field: `outputs.${name}`,
      value: value?.type ?? 'nothing',
    })
  }
  // The runtime's arrays are ours: the pairs of RUNTIME_TYPES.
  return { name, datatype, shape: value.dims, data: value.data as TensorData }
}
