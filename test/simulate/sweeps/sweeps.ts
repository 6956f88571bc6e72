import { ADMISSION, type AdmissionLaw } from '../../../shared/sdk/admission/model-door.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { LAWS, type LawName, peltonDoors } from '../doors/laws.ts'
import type { Setup } from '../run.ts'
import { HEAVY, setupOf, type Wish } from '../setup.ts'
import { type Line, SWEEP_SEEDS, type Sweep } from './sweep.ts'

/** The sweeps of one file of plots. */
export interface Figure {
  readonly file: string
  readonly title: string
  readonly sweeps: readonly Sweep[]
}

const line = (name: string, wish: (x: number) => Partial<Wish>): Line => ({
  name,
  setup: (x, seed): Setup => setupOf({ ...wish(x), seed }),
})

const lawLine = (name: LawName, wish: (x: number) => Partial<Wish>): Line =>
  line(LAWS[name].title, (x) => ({ law: LAWS[name].make, ...wish(x) }))

/** Pelton's doors with one constant another. */
function constant(
  name: string,
  xs: readonly number[],
  chosen: number,
  law: (x: number) => Partial<AdmissionLaw>,
): Sweep {
  const at = (title: string, wish: Partial<Wish>): Line =>
    line(title, (x) => ({ law: peltonDoors(law(x)), ...wish }))
  return {
    ...{ name, x: name, xs, chosen, facts: ['goodput', 'highInTime', 'lost', 'othersRefused'] },
    lines: [at('step, 3 ×', {}), at('step, 5 ×', { times: 5 }), at('hot key, 3 ×', { shape: 'hot-key' })],
  }
}

const waitShare = (lane: Lane) => (share: number) => ({
  waitShare: { ...ADMISSION.waitShare, [lane]: share },
})

const DOORS = [1, 3, 10, 30, 100]
const COMPARED: readonly LawName[] = ['pelton', 'gate', 'amount', 'part', 'mimd']

export const FIGURES: readonly Figure[] = [
  {
    ...{ file: 'laws', title: 'What doors go by' },
    sweeps: [
      {
        ...{ name: 'Doors', x: 'doors', xs: DOORS, facts: ['goodput', 'highInTime', 'lost'] },
        lines: COMPARED.map((law) => lawLine(law, (doors) => ({ doors }))),
      },
      {
        ...{ name: 'Load', x: 'times what is carried', xs: [1, 2, 3, 5, 10], facts: ['goodput', 'lost'] },
        lines: COMPARED.map((law) => lawLine(law, (times) => ({ times }))),
      },
    ],
  },
  {
    ...{ file: 'wait', title: 'How long an event may be expected to wait' },
    sweeps: [
      constant('share of high', [0.4, 0.5, 0.6, 0.7, 0.8], ADMISSION.waitShare.high, waitShare('high')),
      constant(
        'share of normal',
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        ADMISSION.waitShare.normal,
        waitShare('normal'),
      ),
      constant('share of low', [0.05, 0.1, 0.15, 0.2, 0.3], ADMISSION.waitShare.low, waitShare('low')),
      constant('heavy share', [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1], ADMISSION.heavyShare, (heavyShare) => ({
        heavyShare,
      })),
      constant('beside share', [0.05, 0.1, 0.2, 0.3, 0.5], ADMISSION.besideShare, (besideShare) => ({
        besideShare,
      })),
    ],
  },
  {
    ...{ file: 'words', title: 'How often the flow is said' },
    sweeps: [
      {
        ...{ name: 'Words', x: 'words a second of all workers', xs: [2, 5, 10, 20, 40, 80], chosen: 20 },
        facts: ['goodput', 'highInTime', 'lost'],
        lines: [
          line('each worker from when it began', (perSecond) => words(perSecond, false)),
          line('workers in turn', (perSecond) => words(perSecond, true)),
        ],
      },
    ],
  },
  {
    ...{ file: 'fleet', title: 'Fleets' },
    sweeps: [
      {
        ...{
          name: 'Workers',
          x: 'workers',
          xs: [1, 10, 100, 1_000],
          facts: ['goodput', 'highInTime', 'lost'],
        },
        lines: [false, true].map((isInTurn) => ({
          ...line(isInTurn ? 'workers in turn' : 'each worker from when it began', (workers) => ({
            ...{ workers, doors: 3, seconds: 3, model: HEAVY, flow: { isInTurn } },
          })),
          seeds: SWEEP_SEEDS.slice(0, 1),
        })),
      },
    ],
  },
]

function words(perSecond: number, isInTurn: boolean): Partial<Wish> {
  return { workers: 4, flow: { everyMs: (workers) => (1_000 * workers) / perSecond, isInTurn } }
}
