import { appendFileSync } from 'node:fs'
import { inject } from 'vitest'

/** One line of the table: what a fault did to the events of its scenario. */
export interface FaultRow {
  readonly fault: string
  /** Accepted by the stream. */
  readonly events: number
  readonly predictions: number
  readonly deadLetters: number
  /** Accepted, and neither predicted nor dead-lettered. */
  readonly lost: number
  /** More than one outcome without a replay. */
  readonly doubled: number
  /** Deliveries beyond the first of each message. */
  readonly redeliveries: number
  /** Longest time without a stored result while events waited. */
  readonly longestGapMs: number
  /** From the end of the fault until everything accepted before it was answered; undefined without such a moment. */
  readonly recoveredMs: number | undefined
  readonly note: string
  readonly seed: number
  readonly isFull: boolean
  readonly file: string
}

declare module 'vitest' {
  export interface ProvidedContext {
    /** File the rows of this run are collected in, one JSON value a line. */
    faultRows: string
  }
}

/** Adds a line to the table that is printed at the end of the run. */
export function appendRow(row: FaultRow): void {
  appendFileSync(inject('faultRows'), `${JSON.stringify(row)}\n`)
}
