import { describe, expect, it } from 'vitest'
import { flowOf } from '../../../test/kit/flow.ts'
import { createRandom } from '../../../test/kit/random.ts'
import { type Flow, ofLanes } from '../contract/flow.ts'
import { LANES, type Lane } from '../contract/subjects.ts'
import { LaneRates } from './lane-rates.ts'
import { ModelDoor } from './model-door.ts'
import type { Refused } from './refused.ts'
import { SourceRates } from './source-rates.ts'

/** The pool of the tests: rows a second, and how long an event may take, milliseconds. */
const CAPACITY = 500
const DEADLINE_MS = 250
/** A word of the flow each, telling what was so long ago, milliseconds. */
const EVERY_MS = 100
const LATE_MS = 10

/** The door of events that ask nobody. */
const OUTSIDE = -1

/** Events that come at one door, at random times. */
interface Traffic {
  readonly door: number
  readonly source: string
  readonly lane: Lane
  /** Events a second. */
  readonly rate: number
  /** @default {@link DEADLINE_MS} */
  readonly deadlineMs?: number | undefined
  /** @default from the beginning to the end */
  readonly fromMs?: number
  readonly untilMs?: number
}

interface Waiting {
  readonly traffic: Traffic
  readonly cameMs: number
}

/** What became of the events of some traffic. */
interface Fate {
  came: number
  inTime: number
  late: number
  readonly refused: Refused[]
}

interface Run {
  readonly doors: number
  readonly forMs: number
  readonly traffic: readonly Traffic[]
  readonly mode?: Flow['mode']
}

/** Runs doors before one worker that takes the highest lane first, a millisecond after the other. */
function simulate(run: Run): ReadonlyMap<Traffic, Fate> {
  const random = createRandom(18)
  const doors = Array.from({ length: run.doors }, () => new ModelDoor(undefined, random))
  const queues: Record<Lane, Waiting[]> = { high: [], normal: [], low: [] }
  const fates = new Map(
    run.traffic.map((each) => [each, { came: 0, inTime: 0, late: 0, refused: [] } as Fate]),
  )
  const words: { readonly atMs: number; readonly flow: Flow }[] = []
  let budget = 0
  const sources = new SourceRates()
  const lanes = new LaneRates()
  for (let now = 0; now < run.forMs; now++) {
    if (now % EVERY_MS === 0) {
      lanes.passed(EVERY_MS)
      const lately = { handedRows: lanes.perSecond, ...sources.named(CAPACITY, now) }
      words.push({ atMs: now + LATE_MS, flow: { ...flowNow(run, queues, now), ...lately } })
    }
    for (; words[0] !== undefined && words[0].atMs <= now; words.shift())
      for (const door of doors) door.hear(words[0].flow, now)
    for (const each of run.traffic) {
      const isOn = now >= (each.fromMs ?? 0) && now < (each.untilMs ?? run.forMs)
      if (!isOn || random() >= each.rate / 1_000) continue
      const fate = fates.get(each)
      const deadlineMs = 'deadlineMs' in each ? each.deadlineMs : DEADLINE_MS
      const refused = doors[each.door]?.decide({ lane: each.lane, source: each.source, deadlineMs }, now)
      if (fate === undefined) continue
      fate.came++
      if (refused === undefined) sources.came(each.source, 1, now)
      if (refused === undefined || run.mode === 'observe')
        queues[each.lane].push({ traffic: each, cameMs: now })
      if (refused !== undefined) fate.refused.push(refused)
    }
    budget = Math.min(budget + CAPACITY / 1_000, 1)
    for (; budget >= 1; budget--) {
      const next = LANES.map((lane) => queues[lane])
        .find(({ length }) => length > 0)
        ?.shift()
      const fate = next && fates.get(next.traffic)
      if (next === undefined || fate === undefined) break
      lanes.came(next.traffic.lane, 1)
      if (now - next.cameMs <= (next.traffic.deadlineMs ?? DEADLINE_MS)) fate.inTime++
      else fate.late++
    }
  }
  return fates
}

function flowNow({ mode = 'enforce', traffic }: Run, queues: Record<Lane, Waiting[]>, at: number): Flow {
  const deadlines = (lane: Lane): number =>
    traffic.some((each) => each.lane === lane && !('deadlineMs' in each)) ? DEADLINE_MS : 0
  return flowOf({
    ...{ at, mode, everyMs: EVERY_MS, drainRows: CAPACITY },
    waiting: ofLanes((lane) => queues[lane].length),
    deadlineMs: ofLanes(deadlines),
  })
}

function total(fates: Iterable<Fate>, read: (fate: Fate) => number): number {
  let all = 0
  for (const fate of fates) all += read(fate)
  return all
}

/** Load of `times` the capacity, a fifth of it `high`, evenly over doors, each with a source of its own. */
function evenly(doors: number, times: number): Traffic[] {
  return Array.from({ length: doors }, (_, door) => door).flatMap((door) => {
    const rate = (times * CAPACITY) / doors
    const of = { door, source: `s${door}` }
    return [
      { ...of, lane: 'high', rate: 0.2 * rate },
      { ...of, lane: 'normal', rate: 0.8 * rate },
    ] as const
  })
}

/** Three times the capacity, nine tenths of it from one source; `doorsOf` says where its events and those of the other come. */
function hot(doorsOf: { readonly hot: readonly number[]; readonly other: readonly number[] }): Traffic[] {
  const of = (source: 'hot' | 'other', part: number): Traffic[] =>
    doorsOf[source].map((door) => ({
      ...{ door, source, lane: 'normal' as const },
      rate: (3 * part * CAPACITY) / doorsOf[source].length,
    }))
  return [...of('hot', 0.9), ...of('other', 0.1)]
}

const FOR_MS = 20_000
const all = (): boolean => true
const inLane =
  (lane: Lane) =>
  (each: Traffic): boolean =>
    each.lane === lane

/** Fates of some traffic, added up. */
function ofSome(fates: ReadonlyMap<Traffic, Fate>, isMeant: (traffic: Traffic) => boolean) {
  const meant = [...fates].filter(([traffic]) => isMeant(traffic)).map(([, fate]) => fate)
  const [came, inTime, late] = [
    ({ came }: Fate) => came,
    ({ inTime }: Fate) => inTime,
    ({ late }: Fate) => late,
  ].map((read) => total(meant, read)) as [number, number, number]
  const refused = meant.flatMap((fate) => fate.refused)
  return { came, inTime, late, refused, goodput: inTime / ((CAPACITY * FOR_MS) / 1_000) }
}

describe('doors before a worker that can do 500 rows a second', () => {
  it.each([1, 2, 10])(
    '%i of them carry what it can while three times that comes, and `high` all of its own',
    (doors) => {
      const fates = simulate({ doors, forMs: FOR_MS, traffic: evenly(doors, 3) })
      const { goodput, inTime, late } = ofSome(fates, all)
      expect(goodput).toBeGreaterThan(0.95)
      expect(late / inTime).toBeLessThan(0.02)
      const high = ofSome(fates, inLane('high'))
      expect(high.refused).toEqual([])
      expect(high.late).toBe(0)
    },
  )

  it.each([2, 5, 10])('carry as much while %i times that comes', (times) => {
    const { goodput, inTime, late } = ofSome(
      simulate({ doors: 2, forMs: FOR_MS, traffic: evenly(2, times) }),
      all,
    )
    expect(goodput).toBeGreaterThan(0.95)
    expect(late / inTime).toBeLessThan(0.03)
  })

  it.each([1, 2, 10])('%i of them refuse hardly anything while as much comes as it can do', (doors) => {
    expect(
      ofSome(simulate({ doors, forMs: FOR_MS, traffic: evenly(doors, 1) }), all).goodput,
    ).toBeGreaterThan(0.93)
    const { refused } = ofSome(simulate({ doors, forMs: FOR_MS, traffic: evenly(doors, 0.8) }), all)
    expect(refused).toEqual([])
  })

  it('refuse `low` before `normal` before `high`', () => {
    const traffic = LANES.map((lane) => ({ door: 0, source: 's', lane, rate: CAPACITY / 2 }))
    const fates = simulate({ doors: 1, forMs: FOR_MS, traffic })
    const [high, normal, low] = LANES.map((lane) => {
      const { refused, came } = ofSome(fates, inLane(lane))
      return refused.length / came
    }) as [number, number, number]
    expect(high).toBe(0)
    expect(normal).toBeLessThan(0.3)
    expect(low).toBeGreaterThan(0.7)
  })

  it.each([
    ['one door', 1, { hot: [0], other: [0] }],
    ['two doors', 2, { hot: [0, 1], other: [0, 1] }],
    ['a door each', 2, { hot: [0], other: [1] }],
    ['ten doors, of which it has nine', 10, { hot: [0, 1, 2, 3, 4, 5, 6, 7, 8], other: [9] }],
  ])(
    'let a source with little in while another has nine tenths of three times that, at %s',
    (_where, doors, doorsOf) => {
      const fates = simulate({ doors, forMs: FOR_MS, traffic: hot(doorsOf) })
      expect(ofSome(fates, all).goodput).toBeGreaterThan(0.95)
      const other = ofSome(fates, ({ source }) => source === 'other')
      expect(other.refused.length / other.came).toBeLessThan(0.05)
      expect(other.late).toBe(0)
    },
  )

  it('never refuse events without a deadline for waiting', () => {
    const traffic = [
      ...evenly(1, 2),
      { door: 0, source: 'backfill', lane: 'low' as const, rate: 3 * CAPACITY, deadlineMs: undefined },
    ]
    const fates = simulate({ doors: 1, forMs: FOR_MS, traffic })
    expect(ofSome(fates, inLane('low')).refused).toEqual([])
    expect(ofSome(fates, all).goodput).toBeGreaterThan(0.95)
  })

  it.each([1, 10])('%i of them refuse nothing because others fill lane `low` without asking', (doors) => {
    const fill = { door: OUTSIDE, source: 'fill', lane: 'low' as const, rate: 1_000, deadlineMs: undefined }
    const fates = simulate({
      doors,
      forMs: FOR_MS,
      traffic: [...evenly(doors, 0.8), { ...fill, fromMs: 2_000 }],
    })
    const { refused, late } = ofSome(fates, ({ source }) => source !== 'fill')
    expect(refused).toEqual([])
    expect(late).toBe(0)
  })

  it('let everything in while they only observe, and say what they would have refused', () => {
    const fates = simulate({ doors: 1, forMs: FOR_MS, traffic: evenly(1, 3), mode: 'observe' })
    const { refused, late, came } = ofSome(fates, inLane('normal'))
    expect(refused.length / came).toBeGreaterThan(0.9)
    expect(late).toBeGreaterThan(0)
  })

  it('are as before soon after the load is', () => {
    const spike = evenly(1, 10).map((each) => ({ ...each, untilMs: 5_000 }))
    const calm = evenly(1, 0.8).map((each) => ({ ...each, source: 'calm', fromMs: 6_000 }))
    const fates = simulate({ doors: 1, forMs: FOR_MS, traffic: [...spike, ...calm] })
    expect(ofSome(fates, ({ source }) => source === 'calm').refused).toEqual([])
  })
})
