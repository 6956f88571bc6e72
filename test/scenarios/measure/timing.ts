import type { Stairs } from './staircase.ts'

/** One flight of stairs: how fine they are, and how long each step is held. */
export interface Flight extends Pick<Stairs, 'factor'> {
  readonly seconds: number
}

/** How long everything takes. */
export interface Timing {
  /** Coarse to fine: each begins with the highest step that was carried before. */
  readonly stairs: readonly Flight[]
  /** Settings of a contestant that are tried. */
  readonly settingsTried: number
  /** Half of what is carried, before anything counts, seconds. */
  readonly warmUpSeconds: number
  /** What is carried, and three times as much. */
  readonly capacitySeconds: number
  readonly tripleSeconds: number
  /** Other loads beyond what is carried. */
  readonly furtherSeconds: number
  readonly buildUpSeconds: number
  readonly spikeSeconds: number
  /** How long work without a deadline would take at most if there was nothing else. */
  readonly backfillSeconds: number
  /** What is carried half of, before and after an overload. */
  readonly calmSeconds: number
  /** The longest that what waits is waited for when a load is over. */
  readonly settleSeconds: number
}

export const FULL: Timing = {
  stairs: [
    { factor: 2, seconds: 2 },
    { factor: 1.2, seconds: 4 },
    { factor: 1.05, seconds: 20 },
  ],
  settingsTried: 4,
  warmUpSeconds: 5,
  capacitySeconds: 20,
  tripleSeconds: 60,
  furtherSeconds: 30,
  buildUpSeconds: 60,
  spikeSeconds: 20,
  backfillSeconds: 600,
  calmSeconds: 15,
  settleSeconds: 60,
}

export const QUICK: Timing = {
  stairs: [
    { factor: 2, seconds: 1 },
    { factor: 1.2, seconds: 2 },
  ],
  settingsTried: 1,
  warmUpSeconds: 1,
  capacitySeconds: 3,
  tripleSeconds: 5,
  furtherSeconds: 3,
  buildUpSeconds: 3,
  spikeSeconds: 2,
  backfillSeconds: 5,
  calmSeconds: 2,
  settleSeconds: 3,
}
