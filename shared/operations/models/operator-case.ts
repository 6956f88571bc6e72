import { closeBreaker } from './breaker.ts'
import type { ModelRecord } from './model-record.ts'

/** Events of a model that time out in a row until it is a case for the operator. */
const MOST_TIMED_OUT = 3

/**
 * Whether a model runs apart and its last events all timed out: none is run any more until an operator readmits it
 * (`pelton models readmit`).
 */
export function isForOperator(record: Pick<ModelRecord, 'apart'> | undefined): boolean {
  return (record?.apart?.inARow ?? 0) >= MOST_TIMED_OUT
}

/** A model from the first run on that did not end. @param now milliseconds since 1970 */
export function setApart(record: ModelRecord, now: number): ModelRecord {
  return record.apart === undefined ? { ...record, apart: { since: now, inARow: 0 } } : record
}

/** One more event of it timed out. */
export function countTimedOut(record: ModelRecord): ModelRecord {
  const { apart } = record
  return apart === undefined ? record : { ...record, apart: { ...apart, inARow: apart.inARow + 1 } }
}

/** An event of it did not time out. */
export function countEnded(record: ModelRecord): ModelRecord {
  const { apart } = record
  return apart === undefined || apart.inARow === 0 ? record : { ...record, apart: { ...apart, inARow: 0 } }
}

/** An operator's word: it runs with the others again, whatever it did before. */
export function readmit({ apart: _apart, ...record }: ModelRecord): ModelRecord {
  return closeBreaker(record)
}
