import type { z } from 'zod'
import type { AdmissionMode, OfLanes } from '../sdk/contract/flow.ts'
import { type InputMapping, mapInputs } from './feature-mapping.ts'
import { invalidManifest, type ManifestProblem, problem, unknownName } from './manifest-problems.ts'
import {
  type GoldenSource,
  goldenSchema,
  MANIFEST_DEFAULTS,
  type ManifestSource,
  manifestGroups,
  manifestSchema,
  type RetryPolicy,
} from './manifest-schema.ts'
import { readManifestText } from './manifest-text.ts'
import { nearestName } from './nearest-name.ts'
import type { Signature } from './signature.ts'

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
  /** How often an event is tried before it is given up. @default 3; the delays are the same for every model */
  readonly retries: RetryPolicy
  /** How long one run may take, and how many rows one event may bring. @default 30000, 4096 */
  readonly limits: { readonly timeoutMs: number; readonly maxRowsPerEvent: number }
  /** Whether NaN and infinities are refused. @default false: trees take NaN as a missing value */
  readonly checks: { readonly finiteInputs: boolean; readonly finiteOutputs: boolean }
  /**
   * What doors do with events that cannot be answered in time, and how much backlog those without a deadline may find, seconds;
   * 0 for any. @default 'enforce', an hour, any for lane `low`
   */
  readonly admission: { readonly mode: AdmissionMode; readonly maxBacklogSeconds: OfLanes<number> }
  /** How soon predictions are wanted where events do not say, milliseconds. @default undefined: nobody waits for them */
  readonly slo: { readonly deadlineMs: number | undefined }
  /** Whether an event with a feature that no input takes is refused, or the feature ignored. @default 'refuse' */
  readonly unknownFeatures: 'refuse' | 'ignore'
  readonly golden: readonly GoldenSample[]
}

/**
 * Reads a manifest in YAML or JSON; `file` names it in errors. Throws `invalid-configuration` with every problem at
 * once, each with its path, value and remedy.
 */
export function parseManifest(text: string, file: string): ManifestSource {
  const value = readManifestText(text, file) ?? {}
  const parsed = manifestSchema.safeParse(value)
  if (parsed.success) return parsed.data
  throw invalidManifest(
    file,
    parsed.error.issues.flatMap((issue) => toProblems(issue, value)),
  )
}

const GROUPS = Object.keys(manifestGroups) as readonly (keyof typeof manifestGroups)[]

/**
 * The manifest of a version laid over that of its model. Groups, such as `batching` and `limits`, are laid over each other
 * setting by setting; everything else is replaced whole.
 */
export function mergeManifests(model: ManifestSource, version: ManifestSource): ManifestSource {
  const merged = { ...model, ...version }
  for (const group of GROUPS) {
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
    description: source.description ?? MANIFEST_DEFAULTS.description,
    inputs: mapInputs(source.inputs ?? {}, signature, problems),
    outputs,
    batching: { ...MANIFEST_DEFAULTS.batching, ...source.batching },
    retries: { ...MANIFEST_DEFAULTS.retries, ...source.retries },
    limits: { ...MANIFEST_DEFAULTS.limits, ...source.limits },
    checks: { ...MANIFEST_DEFAULTS.checks, ...source.checks },
    admission: admissionOf(source.admission),
    slo: { deadlineMs: source.slo?.deadlineMs },
    unknownFeatures: source.unknownFeatures ?? MANIFEST_DEFAULTS.unknownFeatures,
    golden: (source.golden ?? []).map((sample, index) => {
      return { name: `golden[${index}]`, ...MANIFEST_DEFAULTS.golden, ...sample }
    }),
  }
  if (problems.length > 0) throw invalidManifest(file, problems)
  return deepFreeze(manifest)
}

function admissionOf(source: ManifestSource['admission']): Manifest['admission'] {
  const given = { ...MANIFEST_DEFAULTS.admission, ...source }
  return {
    mode: given.mode,
    maxBacklogSeconds: {
      high: given.maxBacklogSecondsHigh,
      normal: given.maxBacklogSecondsNormal,
      low: given.maxBacklogSecondsLow,
    },
  }
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
  if (group === undefined) return Object.keys(manifestSchema.shape)
  if (path.length === 1 && Object.hasOwn(manifestGroups, group))
    return Object.keys(manifestGroups[group as keyof typeof manifestGroups].shape)
  return group === 'golden' ? Object.keys(goldenSchema.shape) : []
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
