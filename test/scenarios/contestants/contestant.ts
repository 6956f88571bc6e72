import type { Workplace } from '../../bench/suite/workplace.ts'
import type { Drive, Driven, Generator } from '../load/generator.ts'
import type { Fates, Stored } from '../measure/account.ts'
import type { Roles } from '../measure/cpu.ts'
import type { Backfill, BackfillEnd, BackfillWish } from './backfill.ts'

/** The model that everybody runs. */
export interface ScenarioModel {
  readonly name: string
  /** Folder of models, as a worker takes it. */
  readonly folder: string
  /** Of the model itself. */
  readonly path: string
}

/** Somebody who answers flights. */
export interface Contestant {
  readonly name: string
  /** Who it is, for people. */
  readonly title: string
  /** What one could take instead of Pelton. */
  readonly isPeer: boolean
  /**
   * What is promised of it beyond what it carries: everything a door promises; what is promised to producers that ask
   * nobody; or that a hot source leaves another one alone. @default nothing
   */
  readonly promises?: 'doors' | 'plain' | 'sources'
  /**
   * Obtains what it needs.
   *
   * @returns its settings, to choose the best of
   * @throws Error that says why it cannot take part
   */
  prepare(workplace: Workplace, model: ScenarioModel): Promise<readonly Candidate[]>
}

/** What is known of the load to come. */
export interface OpenWish {
  /** Events a second that are carried, where that is known: for those whose limits are set by it. */
  readonly carries?: number
  /** Events that its stream takes. @default as many as it does */
  readonly streamEvents?: number | undefined
  /** Whether source `hot` asks a model that fails on everything. @default it asks the one that all ask */
  readonly hotFails?: boolean | undefined
  /** What else it has to do. @default nothing */
  readonly backfill?: BackfillWish | undefined
}

/** One way to set a contestant. */
export interface Candidate {
  readonly settings: string
  /** Starts everything of it anew. */
  open(wish?: OpenWish): Promise<Opened>
}

/** A contestant that takes events. */
export interface Opened {
  readonly generator: Generator
  /** What it was wished to do beside a load. */
  readonly backfill?: Pick<Backfill, 'begin' | 'ended'> | undefined
  /** Processes to be metered. */
  readonly roles: Roles
  /** Where its threads say which they are. */
  readonly threadNames?: string
  /** Waits until what was sent is over and done, at most so long, milliseconds. */
  settle(limitMs: number): Promise<void>
  /** What became of a drive in the end, after {@link settle}; and what is stored of it. */
  outcomesOf(
    drive: Drive,
    driven: Driven,
  ): Promise<{
    readonly fates: Fates
    readonly stored?: Stored
    readonly backfilled?: BackfillEnd | undefined
  }>
  /** Kills its broker and starts it again; undefined where it has none. */
  restartBroker?(): Promise<void>
  /** Accounts for every event it ever took. @returns what is not as it should be; undefined where all is */
  audit?(): Promise<string | undefined>
  close(): Promise<void>
}
