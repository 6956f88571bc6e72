import { z } from 'zod'
import { ADMISSION_MODES } from '../sdk/contract/flow.ts'

/** How often an event is tried, and how long is waited in between. */
export interface RetryPolicy {
  /** Attempts in all, the first included. */
  readonly maxAttempts: number
  /** Delay before the second attempt at most, milliseconds; doubles with each further one. */
  readonly baseDelayMs: number
  readonly maxDelayMs: number
}

export const DEFAULT_RETRIES: RetryPolicy = { maxAttempts: 3, baseDelayMs: 500, maxDelayMs: 30_000 }

/** What a manifest means where it says nothing. */
export const MANIFEST_DEFAULTS = {
  description: '',
  batching: { enabled: true, maxRows: 64 },
  retries: DEFAULT_RETRIES,
  limits: { timeoutMs: 30_000, maxRowsPerEvent: 4096 },
  checks: { finiteInputs: false, finiteOutputs: false },
  admission: {
    mode: 'enforce',
    maxBacklogSecondsHigh: 3_600,
    maxBacklogSecondsNormal: 3_600,
    maxBacklogSecondsLow: 0,
  },
  unknownFeatures: 'refuse',
  golden: { tolerance: 1e-4 },
} as const

// The descriptions, and the types by title where the schema alone would say too little, are the table of keys in
// docs/models.md; a default that is no plain value stands in brackets at the end.
const name = z.string().min(1).meta({ title: 'name' })
const scalar = z
  .union([z.number(), z.nan(), z.literal([Infinity, -Infinity]), z.bigint(), z.string(), z.boolean()])
  .meta({ title: 'text, number, true or false' })
const column = z.union([
  name,
  z.strictObject({
    feature: name.describe('Name of the feature that fills this column'),
    default: scalar
      .exactOptional()
      .describe('Taken when the feature is missing or null (default: none, the event is refused)'),
  }),
])
const columns = z.strictObject({
  features: z
    .array(column)
    .min(1)
    .max(100_000)
    .describe('One feature for each column, in the order of the columns'),
})

const maxBacklogSeconds = (lane: string) =>
  z
    .int()
    .min(0)
    .max(31_536_000)
    .exactOptional()
    .describe(
      `Behind how many seconds of work events of lane \`${lane}\` are let in that have no deadline; 0: any`,
    )

/** The groups: a version's manifest is laid over its model's setting by setting. */
export const manifestGroups = {
  batching: z
    .strictObject({
      enabled: z
        .boolean()
        .exactOptional()
        .describe('Whether rows of several events may share a run, where the model allows it'),
      maxRows: z.int().min(1).max(65_536).exactOptional().describe('Most rows of one run'),
    })
    .describe('How events are joined into runs'),
  retries: z
    .strictObject({
      maxAttempts: z
        .int()
        .min(1)
        .max(100)
        .exactOptional()
        .describe('How often an event is tried, the first time included'),
    })
    .describe('What happens when the model fails on an event or takes too long'),
  limits: z
    .strictObject({
      timeoutMs: z
        .int()
        .min(1)
        .max(3_600_000)
        .exactOptional()
        .describe(
          'How long one run may take, in milliseconds; from the first beyond it on the model runs apart',
        ),
      maxRowsPerEvent: z
        .int()
        .min(1)
        .max(1_048_576)
        .exactOptional()
        .describe('How many rows one event may bring'),
    })
    .describe('How much one event may cost'),
  checks: z
    .strictObject({
      finiteInputs: z
        .boolean()
        .exactOptional()
        .describe('Whether an event with NaN or an infinity is refused; trees take NaN as a missing value'),
      finiteOutputs: z
        .boolean()
        .exactOptional()
        .describe('Whether a prediction with NaN or an infinity becomes a dead letter'),
    })
    .describe('Which numbers are refused'),
  admission: z
    .strictObject({
      mode: z
        .enum(ADMISSION_MODES)
        .exactOptional()
        .describe(
          'Whether doors refuse events that cannot be answered in time, count what they would refuse, or look at nothing; what an operator says goes before it',
        ),
      maxBacklogSecondsHigh: maxBacklogSeconds('high'),
      maxBacklogSecondsNormal: maxBacklogSeconds('normal'),
      maxBacklogSecondsLow: maxBacklogSeconds('low'),
    })
    .describe('Which events are let in'),
  slo: z
    .strictObject({
      deadlineMs: z
        .int()
        .min(1)
        .max(86_400_000)
        .exactOptional()
        .describe(
          'How soon predictions are wanted, in milliseconds, where the events of a lane do not say (default: none)',
        ),
    })
    .describe('What is promised of its predictions'),
}

/** An event and what the model must answer. */
export const goldenSchema = z
  .strictObject({
    name: name.exactOptional().describe('What errors call the sample (default: `golden[0]`, `golden[1]`, …)'),
    features: z
      .record(name, z.union([scalar, z.null()]).meta({ title: 'text, number, true, false or null' }))
      .exactOptional()
      .describe('The event as one row of features; exactly one of `features` and `inputs`'),
    inputs: z
      .array(z.record(z.string(), z.unknown()).meta({ title: 'tensor' }))
      .min(1)
      .exactOptional()
      .describe('The event as tensors, each with `name`, `datatype`, `shape` and `data`'),
    outputs: z
      .record(name, z.unknown().meta({ title: 'values' }))
      .refine((outputs) => Object.keys(outputs).length > 0, 'names no output')
      .describe('The values expected of each output that is compared, flat or nested'),
    tolerance: z
      .number()
      .min(0)
      .max(1)
      .exactOptional()
      .describe(
        'Largest difference of a float, relative to the value expected; absolute where that is below 1',
      ),
  })
  .refine((sample) => (sample.features === undefined) !== (sample.inputs === undefined), {
    error: 'needs exactly one of features and inputs',
  })

export const manifestSchema = z.strictObject({
  description: z.string().max(2000).exactOptional().describe('What the model is for; for people'),
  inputs: z
    .record(name, z.union([column, columns]))
    .exactOptional()
    .describe('How features fill the inputs of the model (default: one feature of the name of each input)'),
  outputs: z
    .array(name)
    .min(1)
    .exactOptional()
    .describe('The outputs a prediction carries, in this order (default: all of the model)'),
  unknownFeatures: z
    .enum(['refuse', 'ignore'])
    .exactOptional()
    .describe(
      'What becomes of an event with a feature that no input takes: `refuse` it, or `ignore` the feature, which is counted and told once',
    ),
  batching: manifestGroups.batching.exactOptional(),
  retries: manifestGroups.retries.exactOptional(),
  limits: manifestGroups.limits.exactOptional(),
  checks: manifestGroups.checks.exactOptional(),
  admission: manifestGroups.admission.exactOptional(),
  slo: manifestGroups.slo.exactOptional(),
  golden: z
    .array(goldenSchema)
    .max(100)
    .exactOptional()
    .describe('Events with the answers expected, tried whenever the model is loaded (default: none)'),
})

/** A manifest as written: every part may be missing. */
export type ManifestSource = z.infer<typeof manifestSchema>
export type GoldenSource = z.infer<typeof goldenSchema>
