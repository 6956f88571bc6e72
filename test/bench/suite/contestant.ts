import type { Profile } from '../../scale/ground.ts'
import type { Measured } from '../compare/figures.ts'
import type { Workplace } from './workplace.ts'

/** Somebody who answers events, in a process of their own. */
export interface Contestant {
  readonly name: string
  /** Who it is, for people. */
  readonly title: string
  /** What one could take instead of Pelton. @default false: Pelton, or what the machine allows */
  readonly isPeer?: boolean
  /** Of the events asked for, the part it gets: who is slow gets fewer. */
  readonly share: number
  /**
   * Obtains what it needs.
   *
   * @throws Error that says why it cannot take part
   */
  prepare(workplace: Workplace): Promise<Ready>
}

/** A contestant that can be measured. */
export interface Ready {
  /** Versions and settings, for people. */
  readonly settings: string
  /** One run, with a store of its own. */
  measure(load: PeerLoad): Promise<Measured>
}

export interface PeerLoad {
  /** Answered before anything is measured. */
  readonly warmUp: number
  readonly events: number
  /** Of the broker, for those who use one. */
  readonly profile: Profile
}
