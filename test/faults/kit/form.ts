/** Full form (`--mode full`, which kit/table.ts passes on) or the short one that belongs to CI. */
export const IS_FULL = process.env.PELTON_FAULTS_FORM === 'full'

/** What every choice of a run follows from: which worker, when. */
export const SEED = Number(process.env.PELTON_FAULTS_SEED ?? Date.now() % 2 ** 31)

const FULL_EVENTS = 20_000
const SHORT_EVENTS = 1_500

/** Events of a scenario: 20,000 in the full form, 1,500 in the short one, or `PELTON_FAULTS_EVENTS`. */
export const EVENTS = Number(process.env.PELTON_FAULTS_EVENTS ?? (IS_FULL ? FULL_EVENTS : SHORT_EVENTS))
