import { describe, expect, test } from 'vitest'
import { type AuditReport, isSignable } from '../../shared/operations/audit/report.ts'
import { reportLines } from '../../shared/operations/audit/report-lines.ts'
import { createRandom } from '../kit/random.ts'
import { tellOf } from './tampering/evidence.ts'
import { type HistoryStage, openHistoryStage, retried } from './tampering/history-stage.ts'
import { EXPIRY, TRAFFIC } from './tampering/lawful-acts.ts'
import { liveThrough } from './tampering/lawful-history.ts'
import { OPERATORS } from './tampering/operator-acts.ts'
import { type Tried, tamperWith } from './tampering/tamper-run.ts'
import { tamperTable, untried } from './tampering/tamper-table.ts'
import { TAMPERS } from './tampering/tampers.ts'

/** After these not every event can be proven, until a floor is signed off: no alarm, and no clean audit. */
const DOUBTED = [...Object.keys(EXPIRY), 'imported from elsewhere', 'FEATURES made anew']

const RARE = [...Object.keys(OPERATORS), ...Object.keys(EXPIRY)]

/** `npm run test:audit` tries hundreds of states; the bounded form is for every day. */
const IS_FULL = process.env.PELTON_TEST_FORM === 'full'
/** What every choice follows from. The bounded form repeats: the same change gives the same answer twice. */
const SEED = Number(process.env.PELTON_AUDIT_SEED ?? (IS_FULL ? Date.now() % 2 ** 31 : 20_010_630))
const LAWFUL = IS_FULL ? 80 : 8
const TAMPERED = IS_FULL ? 80 : 12
const TAMPERS_EACH = 10

/** What an audit said, and what lies there of the first event it named. */
async function saidOf(stage: HistoryStage, report: AuditReport): Promise<string> {
  const [problem] = report.deep?.problems ?? []
  const there = problem?.token === undefined ? '' : await tellOf(stage, problem.token)
  return [...reportLines(report).map(({ text }) => text), there].join('\n')
}

const HOUR_MS = 3_600_000

/** Copies that wait in RETRIES: what histories have least of, and each kind of tampering takes some. */
async function retryMore(stage: HistoryStage): Promise<void> {
  for (let index = 0; index < 6; index++) await stage.publish(`retried-${index}`)
  const waiting = await stage.worker().waiting()
  const those = waiting.filter(({ event }) => event.id.startsWith('retried-'))
  await stage.worker().settle(those, retried(HOUR_MS))
}

describe('a lawful history raises no alarm', () => {
  const acts = new Set<string>()
  let looks = 0

  test.for(Array.from({ length: LAWFUL }, (_, index) => SEED + index))('of seed %i', async (seed) => {
    const at = 2 * (seed - SEED)
    const must = [RARE[at % RARE.length] ?? '', RARE[(at + 1) % RARE.length] ?? ''] as const
    const stage = await openHistoryStage(seed)
    try {
      const done = await liveThrough(stage, {
        acts: 18,
        must,
        expires: must.some((name) => name in EXPIRY),
        onAct: async (names) => {
          looks++
          const report = await stage.look()
          const why = `seed ${seed}, after ${names}:\n${await saidOf(stage, report)}`
          expect(isSignable(report), why).toBe(true)
          expect(report.doubts.length === 0 || DOUBTED.some((name) => names.includes(name)), why).toBe(true)
        },
      })
      for (const name of done) acts.add(name)
    } finally {
      await stage.close()
    }
  })

  test('whatever may happen happened', () => {
    console.log(`${looks} lawful states from PELTON_AUDIT_SEED=${SEED}, none with an alarm`)
    const all = Object.keys({ ...TRAFFIC, ...OPERATORS, ...EXPIRY })
    expect(all.filter((name) => !acts.has(name))).toEqual([])
  })
})

test('tampered with at random, every kind of every stream: each is found, or on the closed list', async () => {
  const random = createRandom(SEED)
  const deck = [...TAMPERS].sort(() => random() - 0.5)
  const tried: Tried[] = []
  for (let seed = SEED; seed < SEED + TAMPERED; seed++) {
    const stage = await openHistoryStage(seed)
    try {
      await liveThrough(stage, { acts: 6, expires: false })
      await retryMore(stage)
      const report = await stage.look()
      const why = `seed ${seed}, before anybody tampers:\n${await saidOf(stage, report)}`
      expect(isSignable(report), why).toBe(true)
      const done = await tamperWith(stage, deck, TAMPERS_EACH)
      tried.push(...done.map((one) => ({ ...one, detail: `seed ${seed}, ${one.detail}` })))
      // What was done has its turn again when all others had theirs.
      for (const { tamper } of done) deck.push(...deck.splice(deck.indexOf(tamper), 1))
    } finally {
      await stage.close()
    }
  }
  console.log(`${tried.length} states from PELTON_AUDIT_SEED=${SEED}\n${tamperTable(tried)}`)
  const missed = tried.filter(({ verdict }) => verdict === 'missed')
  expect(
    missed.map(({ tamper: { kind, stream, what }, detail }) => `${kind} ${stream}, ${what}: ${detail}`),
  ).toEqual([])
  expect(untried(tried)).toEqual([])
}, 3_600_000)
