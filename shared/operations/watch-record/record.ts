import type { KeptValue, KeyValue } from '../records/key-value.ts'
import type { Alert } from './alert.ts'
import type { FeatureMarks } from './marks.ts'

/** A failure notice without its dead letter. */
export interface OpenNotice {
  readonly model: string
  readonly token: string
  /** In RESULTS. */
  readonly sequence: number
  /** `Pelton-Origin` of the event. */
  readonly origin: string
  /** When it was stored, RFC 3339. */
  readonly at: string
  /** Looks in a row that found the event nowhere. */
  readonly missed: number
  /** When the last record of the LEDGER was stored that was read for it, RFC 3339; absent before the first. */
  readonly readTo?: string
}

/** A dead letter beside a prediction that no replay explains. */
export interface UnexplainedLetter {
  readonly model: string
  readonly token: string
  /** In DEADLETTERS. */
  readonly sequence: number
  /** Looks in a row that found it so. */
  readonly looks: number
}

/** A consumer that was set back to its first event by the watch. */
export interface ConsumerReset {
  readonly what: 'consumer-reset'
  /** RFC 3339. */
  readonly at: string
  readonly by: string
  readonly stream: string
  readonly consumer: string
  /** Events it did not know of, at least. */
  readonly orphans: number
  /** Events that workers held: they are handed out once more. */
  readonly inFlight: number
}

/** A dead letter that was removed because its event has a prediction by a replay. */
export interface SupersededRemoval {
  readonly what: 'superseded-removed'
  readonly at: string
  readonly by: string
  readonly count: number
}

/** A discard or purge whose process is gone: what it held was let go, or removed where it had begun to. */
export interface RemovalEnded {
  readonly what: 'removal-ended'
  readonly at: string
  readonly by: string
  /** The act, as `pelton dead-letters history` lists it. */
  readonly act: string
  readonly released: number
  readonly removed: number
}

/** What the watch did by itself. */
export type WatchAct = ConsumerReset | SupersededRemoval | RemovalEnded

/** How far a stream was read. Sequences start again when it is made anew. */
export interface ReadPosition {
  readonly epoch: string
  /** First sequence that was not read. */
  readonly next: number
}

/**
 * What the watch keeps between looks, and over the end of its process. The control service that writes it is the one
 * that watches.
 */
export interface WatchRecord {
  /** The control service that watches; empty once it has stopped. */
  readonly holder: string
  /** When it last looked, RFC 3339, by the broker's clock. */
  readonly at: string
  /** How often it looks, milliseconds. */
  readonly everyMs: number
  readonly results: ReadPosition
  readonly deadLetters: ReadPosition
  /** Failure notices whose dead letter was not there when they were read. */
  readonly openNotices: readonly OpenNotice[]
  /** Dead letters beside a prediction that were left; absent in a record of an older Pelton. */
  readonly unexplained?: readonly UnexplainedLetter[]
  readonly alerts: readonly Alert[]
  /** How far FEATURES had come at its looks; absent before the first. */
  readonly features?: FeatureMarks
  /** What it did by itself, oldest first. */
  readonly acts: readonly WatchAct[]
}

const NOWHERE: ReadPosition = { epoch: '', next: 1 }

/** What is known before any control service has watched. */
export const EMPTY_RECORD: WatchRecord = {
  holder: '',
  at: '',
  everyMs: 0,
  results: NOWHERE,
  deadLetters: NOWHERE,
  openNotices: [],
  alerts: [],
  acts: [],
}

/** Key of the record in the bucket `pelton-replays`. */
export const WATCH_KEY = 'watch.record'
const MAX_ACTS = 100
/** A holder that missed so many looks, and was silent for so long, is gone. */
const MISSED_LOOKS = 3
const LEAST_SILENCE_MS = 3_000

/** The record as it is kept; undefined before the first look. @throws PeltonError `broker-unavailable` */
export function readRecord(keyValue: KeyValue): Promise<KeptValue<WatchRecord> | undefined> {
  return keyValue.get<WatchRecord>(WATCH_KEY)
}

/** @returns the new revision, or `undefined` when another control service wrote since: it watches now */
export function keepRecord(
  keyValue: KeyValue,
  record: WatchRecord,
  expected: number,
): Promise<number | undefined> {
  return keyValue.put(WATCH_KEY, { ...record, acts: record.acts.slice(-MAX_ACTS) }, expected)
}

/** What this process saw of the record when it last changed, by its own clock. */
export interface Sighting {
  readonly revision: number
  readonly atMs: number
}

/**
 * Whether a control service may watch: when none does, or when the one that did has not written for three of its looks.
 * Needs no clock but our own, so that a wrong one does not make two of them.
 */
export function mayWatch(
  present: KeptValue<WatchRecord> | undefined,
  me: string,
  seen: Sighting | undefined,
  nowMs: number,
): boolean {
  if (present === undefined || present.value.holder === '' || present.value.holder === me) return true
  if (seen?.revision !== present.revision) return false
  return nowMs - seen.atMs >= Math.max(LEAST_SILENCE_MS, MISSED_LOOKS * present.value.everyMs)
}
