import { z } from 'zod'
import { ADMISSION_MODES, type AdmissionMode } from '../../sdk/contract/flow.ts'
import { type Datatype, isDatatype } from '../../sdk/contract/tensor.ts'
import { readVersioned, type Versioned } from '../records/versioned-record.ts'

/** One input or output of a recorded version; `null` is a dimension of any size. */
export interface RecordedTensor {
  readonly name: string
  readonly datatype: Datatype
  readonly shape: readonly (number | null)[]
}

/** What a version takes and gives, as the models folder tells it. */
export interface RecordedSignature {
  readonly inputs: readonly RecordedTensor[]
  readonly outputs: readonly RecordedTensor[]
  readonly constants: readonly string[]
}

/** A version of a model that some worker of the pool has served. */
export interface RecordedVersion {
  /** SHA-256 of all its files, hex. */
  readonly digest: string
  /** Of all its files together. */
  readonly sizeBytes: number
  readonly signature: RecordedSignature
  /** When a worker first served it with this digest, milliseconds since 1970. */
  readonly since: number
}

/** What a worker serves of a model. */
export interface Serving {
  readonly versions: readonly string[]
  /** Since when, milliseconds since 1970. */
  readonly since: number
}

/** Why a worker does not serve a model, or one version of it. */
export interface Refusing {
  /** Undefined where the folder of the model itself is refused or gone. */
  readonly version?: string | undefined
  /** Code of the error. */
  readonly code: string
  readonly reason: string
  /** Since when, milliseconds since 1970. */
  readonly since: number
}

/** That a model runs in a process of its own. */
export interface Apart {
  readonly since: number
  /** Events that timed out since the last that did not. */
  readonly inARow: number
}

/** That a model fails on everything, and what is known of it; times by the broker's clock, milliseconds since 1970. */
export interface Breaker {
  /** Since when none of its events is run but by a probe. */
  readonly since: number
  /** The error of the last event. */
  readonly cause: string
  /** Events it failed on in a row, those of probes included. */
  readonly failures: number
  /** Probes that have failed. */
  readonly probes: number
  /** Somebody may try a few of its events then. */
  readonly nextProbeAt: number
  /** Who tries them now; it may be gone, so not for ever. */
  readonly probing?: { readonly by: string; readonly until: number } | undefined
}

/** What running a model costs, as a worker measured it. */
export interface RecordedCost {
  /** A run of b rows takes `fixedMs` + `perRowMs` · b milliseconds. */
  readonly fixedMs: number
  readonly perRowMs: number
  /** What it takes beside the runtime, milliseconds. */
  readonly handOverMs: number
  /** Rows a batch has at most. */
  readonly batchRows: number
  /** What it was made of, by growing rows. */
  readonly timings: readonly { readonly rows: number; readonly ms: number }[]
}

/** What is known of a model's cost with these files, on processors of this name, in workers of so many threads. */
export interface RecordedCalibration {
  /** SHA-256 of all files of the version, hex. */
  readonly digest: string
  readonly cpu: string
  readonly threads: number
  /** When it was begun or made, milliseconds since 1970. */
  readonly since: number
  /** Undefined until it was measured. */
  readonly cost?: RecordedCost | undefined
  /** That it is measured now, or was when its worker ended: who began, and how often one has. */
  readonly begun?: { readonly by: string; readonly times: number } | undefined
}

/** What an operator said doors are to do with events of a model. */
export interface RecordedAdmission {
  readonly mode: AdmissionMode
  /** Name of the operator. */
  readonly by: string
  /** When, milliseconds since 1970. */
  readonly at: number
}

/** What a pool knows of one model: one record, changed by compare-and-set alone. */
export interface ModelRecord {
  readonly pool: string
  readonly model: string
  /** Every version any worker of the pool has served, by version. */
  readonly versions: Readonly<Record<string, RecordedVersion>>
  /** Who serves it, by worker name. */
  readonly serving: Readonly<Record<string, Serving>>
  /** Who refused it and why, by worker name. */
  readonly refusing: Readonly<Record<string, Refusing>>
  /** Set once a run of it did not end: from then on it runs apart, in a process of its own. */
  readonly apart?: Apart | undefined
  /** Set while it fails on everything: its circuit breaker is open. */
  readonly breaker?: Breaker | undefined
  /** What its versions cost, on each kind of machine that has measured it. */
  readonly calibrations?: readonly RecordedCalibration[] | undefined
  /** Set by an operator: goes before what the manifest says. */
  readonly admission?: RecordedAdmission | undefined
}

/** The version of the codec. A record of another is reported, and never written over. */
const VERSION = 1

const time = z.number().min(0)
const cost = z.looseObject({
  fixedMs: time,
  perRowMs: time,
  handOverMs: time,
  batchRows: z.int().min(1),
  timings: z.array(z.looseObject({ rows: z.int().min(1), ms: time })),
})
const calibration = z.looseObject({
  digest: z.string(),
  cpu: z.string(),
  threads: z.int().min(1),
  since: time,
  cost: cost.optional(),
  begun: z.looseObject({ by: z.string(), times: z.int().min(1) }).optional(),
})
const tensor = z.looseObject({
  name: z.string(),
  datatype: z.string().refine(isDatatype),
  shape: z.array(z.int().min(0).nullable()),
})
// Members that a newer Pelton adds stay in a record that an older one changes.
const schema = z.looseObject({
  v: z.literal(VERSION),
  versions: z.record(
    z.string(),
    z.looseObject({
      digest: z.string().regex(/^[0-9a-f]{64}$/),
      sizeBytes: z.int().min(0),
      signature: z.looseObject({
        inputs: z.array(tensor),
        outputs: z.array(tensor),
        constants: z.array(z.string()),
      }),
      since: time,
    }),
  ),
  serving: z.record(z.string(), z.looseObject({ versions: z.array(z.string()), since: time })),
  refusing: z.record(
    z.string(),
    z.looseObject({ version: z.string().optional(), code: z.string(), reason: z.string(), since: time }),
  ),
  apart: z.looseObject({ since: time, inARow: z.int().min(0) }).optional(),
  breaker: z
    .looseObject({
      since: time,
      cause: z.string(),
      failures: z.int().min(0),
      probes: z.int().min(0),
      nextProbeAt: time,
      probing: z.looseObject({ by: z.string(), until: time }).optional(),
    })
    .optional(),
  // Nobody needs a calibration: one that cannot be read is not to cost the pool all else it knows.
  calibrations: z
    .array(z.unknown())
    .catch([])
    .transform((all) => all.filter((one) => calibration.safeParse(one).success))
    .optional(),
  admission: z.looseObject({ mode: z.enum(ADMISSION_MODES), by: z.string(), at: time }).optional(),
})

/** The record of a model that nobody of the pool has served or refused yet. */
export function emptyRecord(pool: string, model: string): ModelRecord {
  return { pool, model, versions: {}, serving: {}, refusing: {} }
}

/** A record as bytes. The pool and the model stand in its key. */
export function encodeModelRecord({ pool: _pool, model: _model, ...record }: ModelRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ v: VERSION, ...record }))
}

/** What lies under the key of a record. */
export type DecodedRecord =
  | { readonly kind: 'record'; readonly record: ModelRecord }
  | Exclude<Versioned<never>, { readonly kind: 'read' }>

/** Reads a record. Throws nothing: what cannot be read says why. */
export function decodeModelRecord(bytes: Uint8Array, pool: string, model: string): DecodedRecord {
  const read = readVersioned(bytes, VERSION, schema)
  if (read.kind !== 'read') return read
  const { v: _v, ...record } = read.value
  return { kind: 'record', record: { ...(record as Omit<ModelRecord, 'pool' | 'model'>), pool, model } }
}
