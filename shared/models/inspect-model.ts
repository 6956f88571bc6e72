import { dirname, join } from 'node:path'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'
import { createBinder } from './bind.ts'
import { planBinding } from './bind-plan.ts'
import { locationsOf } from './external-data.ts'
import { checkGolden } from './golden.ts'
import { readColumnCounts } from './graph-columns.ts'
import { completeManifest } from './manifest.ts'
import type { ManifestSource } from './manifest-schema.ts'
import { checkOwnFile } from './model-file.ts'
import { type OnnxFile, readOnnxFile } from './onnx-file.ts'
import { probeModel, type Trial } from './probe.ts'
import { openSession, type Session } from './session.ts'
import type { Signature, TensorSpec } from './signature.ts'
import { canBeLeftOut, isCarried, remedyForKind } from './tensor-kinds.ts'

/** A model version to look at before it is served. */
export interface InspectionRequest {
  readonly name: string
  readonly version: string
  readonly path: string
  readonly manifest: ManifestSource
  /** Names the manifest in errors. */
  readonly manifestFile: string
}

export interface Inspection {
  readonly signature: Signature
  /** How long the runtime took to load it. */
  readonly loadMs: number
  /** Whether rows of different events may share a run, going by the model alone. */
  readonly batchable: boolean
  /** How generated inputs went, which a sample prediction is made with. */
  readonly trial: Trial
  /** What an operator should know: why it is not batchable, which outputs are left out. */
  readonly notes: readonly string[]
}

/**
 * Reads, loads and tries a model in this process, which it may hang, crash or fill. Throws `model-refused` or
 * `invalid-configuration` (its manifest) with the reason.
 */
export async function inspectModel(request: InspectionRequest): Promise<Inspection> {
  const file = readOnnxFile(request.path)
  checkFile(file)
  const root = dirname(request.path)
  for (const location of locationsOf(file)) await checkOwnFile(root, join(root, location), location)
  const startedMs = performance.now()
  const session = await openSession(request.path)
  const loadMs = performance.now() - startedMs
  try {
    const constants = file.inputs.map((input) => input.name).filter((name) => file.initialisers.has(name))
    const signature = { ...session.signature, constants }
    return { signature, loadMs, ...(await tryModel(request, signature, session)) }
  } finally {
    await session.release()
  }
}

function checkFile({ inputs, outputs, initialisers }: OnnxFile): void {
  for (const { name, kind } of inputs) {
    if (!isCarried(kind) && !initialisers.has(name)) throw unsupported('input', name, kind)
  }
  for (const { name, kind } of outputs) if (!canBeLeftOut(kind)) throw unsupported('output', name, kind)
  const [first] = outputs
  if (first === undefined || outputs.some(({ kind }) => isCarried(kind))) return
  throw new PeltonError('model-refused', 'no output is a tensor Pelton can carry', {
    field: `output ${showValue(first.name)}`,
    value: first.kind,
    remedy: remedyForKind('output', first.kind),
  })
}

function unsupported(place: 'input' | 'output', name: string, kind: string): PeltonError {
  return new PeltonError('model-refused', `an ${place} is of a kind Pelton does not carry`, {
    field: `${place} ${showValue(name)}`,
    value: kind,
    remedy: remedyForKind(place, kind),
  })
}

async function tryModel(
  { name, version, manifest: source, manifestFile, path }: InspectionRequest,
  signature: Signature,
  session: Session,
): Promise<{ batchable: boolean; trial: Trial; notes: string[] }> {
  const manifest = completeManifest(source, signature, manifestFile)
  const model = { name, version, signature, manifest }
  const bind = createBinder(model)
  const golden: (readonly Tensor[])[] = []
  for (const sample of manifest.golden) golden.push(await checkGolden(sample, bind, session.run))
  // The columns a manifest names settle sizes the model leaves open.
  const settled = { ...signature, inputs: planBinding(model).specs }
  const guesses = [
    ...golden.slice(0, 1).map((sample) => sizesOf(sample, settled)),
    ...countColumns(path, settled),
  ]
  const { batchable, reason, trial } = await probeModel(
    settled,
    guesses,
    (inputs) => session.run(inputs, manifest.outputs),
    golden[0]?.map(({ shape }) => shape),
  )
  const notes = session.omittedOutputs.map(
    (output) => `output ${showValue(output)} is left out: it is no tensor`,
  )
  if (reason !== undefined) notes.push(`each event runs by itself: ${reason}`)
  return { batchable, trial, notes }
}

/** The inputs with the sizes they have in a golden sample, but for its rows. */
function sizesOf(golden: readonly Tensor[], { inputs }: Signature): TensorSpec[] {
  return inputs.map((input, index) => {
    const { shape } = golden[index] ?? input
    return { ...input, shape: input.shape.map((size, at) => (at === 0 ? size : (size ?? shape[at] ?? null))) }
  })
}

/** The inputs with the column counts that can be read from the graph; no guess where it says nothing. */
function countColumns(path: string, { inputs }: Signature): TensorSpec[][] {
  const isOpen = ({ shape }: TensorSpec): boolean => shape.length === 2 && shape[1] === null
  if (!inputs.some(isOpen)) return []
  const counts = readColumnCounts(path)
  const guess = inputs.map((input) => {
    const columns = counts.get(input.name)
    return columns === undefined || !isOpen(input)
      ? input
      : { ...input, shape: [input.shape[0] ?? null, columns] }
  })
  return counts.size === 0 ? [] : [guess]
}
