import { z } from 'zod'
import { type InputMapping, mapInputs } from './feature-mapping.ts'
import { invalidManifest, type ManifestProblem, problem, unknownName } from './manifest-problems.ts'
import { readManifestText } from './manifest-text.ts'
import { nearestName } from './nearest-name.ts'
import type { Signature } from './signature.ts'

const name = z.string().min(1)
const scalar = z.union([
  z.number(),
  z.nan(),
  z.literal([Infinity, -Infinity]),
  z.bigint(),
  z.string(),
  z.boolean(),
])
const column = z.union([name, z.strictObject({ feature: name, default: scalar.exactOptional() })])
const groups = {
  batching: z.strictObject({
    enabled: z.boolean().exactOptional(),
    maxRows: z.int().min(1).max(65_536).exactOptional(),
  }),
  retries: z.strictObject({ maxAttempts: z.int().min(1).max(100).exactOptional() }),
  limits: z.strictObject({
    timeoutMs: z.int().min(1).max(3_600_000).exactOptional(),
    maxRowsPerEvent: z.int().min(1).max(1_048_576).exactOptional(),
  }),
  checks: z.strictObject({
    finiteInputs: z.boolean().exactOptional(),
    finiteOutputs: z.boolean().exactOptional(),
  }),
}
const golden = z
  .strictObject({
    name: name.exactOptional(),
    features: z.record(name, z.union([scalar, z.null()])).exactOptional(),
    inputs: z.array(z.record(z.string(), z.unknown())).min(1).exactOptional(),
    outputs: z
      .record(name, z.unknown())
      .refine((outputs) => Object.keys(outputs).length > 0, 'names no output'),
    tolerance: z.number().min(0).max(1).exactOptional(),
  })
  .refine((sample) => (sample.features === undefined) !== (sample.inputs === undefined), {
    error: 'needs exactly one of features and inputs',
  })
const schema = z.strictObject({
  description: z.string().max(2000).exactOptional(),
  inputs: z
    .record(name, z.union([column, z.strictObject({ features: z.array(column).min(1).max(100_000) })]))
    .exactOptional(),
  outputs: z.array(name).min(1).exactOptional(),
  batching: groups.batching.exactOptional(),
  retries: groups.retries.exactOptional(),
  limits: groups.limits.exactOptional(),
  checks: groups.checks.exactOptional(),
  golden: z.array(golden).max(100).exactOptional(),
})

/** A manifest as written: every part may be missing. */
export type ManifestSource = z.infer<typeof schema>
type GoldenSource = z.infer<typeof golden>

/** An event and the outputs the model must give for it, checked whenever the model is loaded. */
export interface GoldenSample extends Pick<GoldenSource, 'features' | 'inputs' | 'outputs'> {
  readonly name: string
  /** Largest difference, relative to the expected value or absolute where that is below 1. @default 0.0001 */
  readonly tolerance: number
}

/** What a manifest settles for one model version, with nothing left open. */
export interface Manifest {
  /** @default '' */
  readonly description: string
  /** For every input of the signature, in its order, how features fill it. @default one feature of the same name */
  readonly inputs: readonly InputMapping[]
  /** Names of the outputs a prediction carries. @default all of the signature */
  readonly outputs: readonly string[]
  /** Whether rows of several events may share a run, and how many at most. @default true, 64 */
  readonly batching: { readonly enabled: boolean; readonly maxRows: number }
  /** How often an event is tried before it is given up. @default 3 */
  readonly retries: { readonly maxAttempts: number }
  /** How long one run may take, and how many rows one event may bring. @default 30000, 4096 */
  readonly limits: { readonly timeoutMs: number; readonly maxRowsPerEvent: number }
  /** Whether NaN and infinities are refused. @default false: trees take NaN as a missing value */
  readonly checks: { readonly finiteInputs: boolean; readonly finiteOutputs: boolean }
  readonly golden: readonly GoldenSample[]
}

/**
 * Reads a manifest in YAML or JSON; `file` names it in errors. Throws `invalid-configuration` with every problem at
 * once, each with its path, value and remedy.
 */
export function parseManifest(text: string, file: string): ManifestSource {
  const value = readManifestText(text, file) ?? {}
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw invalidManifest(
    file,
    parsed.error.issues.flatMap((issue) => toProblems(issue, value)),
  )
}

/**
 * The manifest of a version laid over that of its model. `batching`, `retries`, `limits` and `checks` are laid over
 * each other setting by setting; everything else is replaced whole.
 */
export function mergeManifests(model: ManifestSource, version: ManifestSource): ManifestSource {
  const merged = { ...model, ...version }
  for (const group of ['batching', 'retries', 'limits', 'checks'] as const) {
    if (model[group] && version[group])
      Object.assign(merged, { [group]: { ...model[group], ...version[group] } })
  }
  return merged
}

/**
 * The complete, frozen manifest for a model with this signature. Throws `invalid-configuration` with every name, count
 * or default that does not fit the signature.
 */
export function completeManifest(source: ManifestSource, signature: Signature, file: string): Manifest {
  const problems: ManifestProblem[] = []
  const outputNames = signature.outputs.map((output) => output.name)
  const outputs = source.outputs ?? outputNames
  outputs.forEach((output, index) => {
    const isRepeated = outputs.indexOf(output) !== index
    if (isRepeated) problems.push(problem(`outputs[${index}]`, output, 'Name each output once.'))
    else if (!outputNames.includes(output))
      problems.push(unknownName(`outputs[${index}]`, output, outputNames))
  })
  const manifest = {
    description: source.description ?? '',
    inputs: mapInputs(source.inputs ?? {}, signature, problems),
    outputs,
    batching: { enabled: true, maxRows: 64, ...source.batching },
    retries: { maxAttempts: 3, ...source.retries },
    limits: { timeoutMs: 30_000, maxRowsPerEvent: 4096, ...source.limits },
    checks: { finiteInputs: false, finiteOutputs: false, ...source.checks },
    golden: (source.golden ?? []).map(({ tolerance = 1e-4, ...sample }, index) => {
      return { name: `golden[${index}]`, tolerance, ...sample }
    }),
  }
  if (problems.length > 0) throw invalidManifest(file, problems)
  return deepFreeze(manifest)
}

function toProblems(issue: z.core.$ZodIssue, root: unknown): ManifestProblem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(issue.path)
    return issue.keys.map((key) => {
      const nearest = nearestName(key, known)
      const meant = nearest === undefined ? '' : ` Did you mean ${nearest}?`
      const list = known.length === 0 ? '' : ` Known keys: ${known.join(', ')}.`
      return problem(
        pathText([...issue.path, key]),
        valueAt(root, [...issue.path, key]),
        `Unknown key.${meant}${list}`,
      )
    })
  }
  return [problem(pathText(issue.path) || 'manifest', valueAt(root, issue.path), `${issue.message}.`)]
}

function knownKeys(path: readonly PropertyKey[]): string[] {
  const [group] = path
  if (group === undefined) return Object.keys(schema.shape)
  if (path.length === 1 && Object.hasOwn(groups, group))
    return Object.keys(groups[group as keyof typeof groups].shape)
  return group === 'golden' ? Object.keys(golden.shape) : []
}

function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? String(part) : `${text}.${String(part)}`
  }, '')
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, part) => Object(value)[part], root)
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) deepFreeze(member)
  }
  return value
}
