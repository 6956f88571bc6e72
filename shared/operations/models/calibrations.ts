import type { ModelRecord, RecordedCalibration, RecordedCost } from './model-record.ts'

/** What a calibration is of: it says nothing of other files, other processors, or workers of more threads. */
export type Calibrated = Pick<RecordedCalibration, 'digest' | 'cpu' | 'threads'>

/** Calibrations a record keeps, the newest ones. */
const MOST_KEPT = 32
/** A model that ended so many workers while it was measured is not measured again. */
const MOST_BEGUN = 2

export function findCalibration(
  { calibrations = [] }: Pick<ModelRecord, 'calibrations'>,
  of: Calibrated,
): RecordedCalibration | undefined {
  return calibrations.find((one) => isOf(one, of))
}

/**
 * Whether a worker may measure a model now: not where another one does that is alive, and not where it ended workers.
 *
 * @param alive workers of the pool
 */
export function mayCalibrate(
  record: Pick<ModelRecord, 'calibrations'>,
  of: Calibrated,
  worker: string,
  alive: readonly string[],
): boolean {
  const begun = findCalibration(record, of)?.begun
  if (begun === undefined) return true
  return begun.times < MOST_BEGUN && (begun.by === worker || !alive.includes(begun.by))
}

/** A worker begins to measure. What was known stays known. @param now milliseconds since 1970 */
export function beginCalibration(
  record: ModelRecord,
  of: Calibrated,
  worker: string,
  now: number,
): ModelRecord {
  const known = findCalibration(record, of)
  const times = (known?.begun?.times ?? 0) + 1
  const since = known?.cost === undefined ? now : known.since
  return put(record, of, { ...known, ...plain(of), since, begun: { by: worker, times } })
}

/** It was measured. */
export function endCalibration(
  record: ModelRecord,
  of: Calibrated,
  cost: RecordedCost,
  now: number,
): ModelRecord {
  return put(record, of, { ...plain(of), since: now, cost })
}

/** The worker measures no more, for reasons of its own: that says nothing against the model. */
export function dropCalibration(record: ModelRecord, of: Calibrated, worker: string): ModelRecord {
  const known = findCalibration(record, of)
  if (known?.begun?.by !== worker) return record
  const { begun: _begun, ...rest } = known
  return put(record, of, rest.cost === undefined ? undefined : rest)
}

function put(record: ModelRecord, of: Calibrated, entry: RecordedCalibration | undefined): ModelRecord {
  const others = (record.calibrations ?? []).filter((one) => !isOf(one, of))
  const all = entry === undefined ? others : [...others, entry]
  const kept = [...all].sort((one, other) => other.since - one.since).slice(0, MOST_KEPT)
  return { ...record, calibrations: kept }
}

function plain({ digest, cpu, threads }: Calibrated): Calibrated {
  return { digest, cpu, threads }
}

function isOf(one: Calibrated, { digest, cpu, threads }: Calibrated): boolean {
  return one.digest === digest && one.cpu === cpu && one.threads === threads
}
