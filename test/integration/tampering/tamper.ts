import type { Evidence } from './evidence.ts'
import type { HistoryStage } from './history-stage.ts'
import type { Stored } from './stored.ts'

/** What can be done to a stream by somebody who may write it. */
export const KINDS = ['delete', 'double', 'forge', 'swap', 'edit'] as const
export type Kind = (typeof KINDS)[number]

/**
 * What an audit owes. `found`: it names each event, by one of its names. `records`: it says that records of the LEDGER
 * were removed. `excused`: it may find it and need not, because nobody misses anything, or because of the closed list of
 * docs/audit.md; the reason stands in the table.
 */
export type Owed =
  | { readonly found: readonly (readonly string[])[] }
  | { readonly records: readonly string[] }
  | { readonly excused: Excuse }

/** Why an audit need not see it. The first five are the closed list of docs/audit.md. */
export const EXCUSES = {
  agrees: '(a) ledger, result and digest agree: forged with the rights of a worker or an operator',
  expired: '(b) it had expired',
  unmarked: '(c) lost since the last mark',
  superseded: '(d) no worker had recorded it, and a later outcome had taken its place',
  elsewhere: '(d) a dead letter that was imported from another broker',
  again: 'the event is there still, or once more: it has its one outcome all the same',
  note: 'a note about work: no event, no outcome and no record lies there',
} as const
export type Excuse = keyof typeof EXCUSES

/** What is done, where, and to what. */
export interface About {
  readonly kind: Kind
  readonly stream: string
  readonly what: string
}

/** One way to tamper with one stream. */
export interface Tamper extends About {
  /** Does it; `undefined` where this history has nothing to do it to. */
  act(stage: HistoryStage, evidence: Evidence, free: Free): Promise<Owed | undefined>
}

/** Picks victims nobody has touched yet, and remembers them. */
export interface Free {
  one(stored: readonly Stored[], evidence: Evidence): Stored | undefined
  /** Of two events. */
  two(stored: readonly Stored[], evidence: Evidence): readonly [Stored, Stored] | undefined
}
