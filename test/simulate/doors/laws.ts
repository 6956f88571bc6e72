import { ADMISSION, type AdmissionLaw, ModelDoor } from '../../../shared/sdk/admission/model-door.ts'
import type { Random } from '../engine/chance.ts'
import { CREDIT, nextCredit } from './breakwater.ts'
import { CreditDoor, type NextCredit } from './credit-door.ts'
import type { Door } from './door.ts'

/** Makes a door. */
export type DoorLaw = (random: Random) => Door

/** Lets everything in. */
const OPEN: Door = { decide: () => undefined, hear: () => undefined, told: () => undefined }

/** Multiplicative both ways: × 0.95 above the target, × 1.01 below (TopFull, SIGCOMM 2024, without its learning). */
const mimd: NextCredit = (credit, { waitMs, targetMs }) => credit * (waitMs > targetMs ? 0.95 : 1.01)

/** Breakwater's law on a part, which is never more than the whole. */
const breakwater: NextCredit = (credit, wait) =>
  nextCredit(credit, wait, { ...CREDIT, least: 0.005, most: 1 })

/** Pelton's doors, with other constants where some are given. */
export function peltonDoors(law: Partial<AdmissionLaw> = {}): DoorLaw {
  return (random) => new ModelDoor({ ...ADMISSION, ...law }, random)
}

/** Laws that are held against each other, and what they are called on plots. */
export const LAWS = {
  none: { title: 'everything is let in', make: () => OPEN },
  pelton: { title: 'Pelton', make: peltonDoors() },
  gate: { title: 'the backlog gate alone', make: () => new CreditDoor({ kind: 'none' }) },
  amount: {
    title: 'Breakwater, credit an amount',
    make: () => new CreditDoor({ kind: 'amount', next: nextCredit }),
  },
  part: {
    title: 'Breakwater, credit a part of what is asked',
    make: (random) => new CreditDoor({ kind: 'part', next: breakwater, random }),
  },
  mimd: {
    title: 'MIMD 0.95/1.01, a part of what is asked',
    make: (random) => new CreditDoor({ kind: 'part', next: mimd, random }),
  },
} as const satisfies Readonly<Record<string, { readonly title: string; readonly make: DoorLaw }>>

export type LawName = keyof typeof LAWS
export const LAW_NAMES = Object.keys(LAWS) as LawName[]
