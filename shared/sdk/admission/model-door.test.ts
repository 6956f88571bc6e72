import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { flowOf as usualFlow } from '../../../test/kit/flow.ts'
import { ADMISSION_MODES, type Flow } from '../contract/flow.ts'
import { LANES, type Lane } from '../contract/subjects.ts'
import { ADMISSION, type Asking, ModelDoor } from './model-door.ts'

const DEADLINES = { high: 1_000, normal: 1_000, low: 1_000 }

/** A worker that runs a hundred rows a second, of events that have a second. */
const flowOf = (given: Partial<Flow> = {}): Flow => usualFlow({ deadlineMs: DEADLINES, ...given })

/** A door that heard of so many rows in the lane `normal`. */
function doorBehind(rows: number, given: Partial<Flow> = {}): ModelDoor {
  const door = new ModelDoor()
  door.hear(flowOf({ waiting: { high: 0, normal: rows, low: 0 }, ...given }), 0)
  return door
}

function askingOf(given: Partial<Asking> = {}): Asking {
  return { lane: 'normal', source: 's', deadlineMs: 1_000, ...given }
}

const gate = {
  limit: 'FEATURES.max_msgs',
  lanes: ['low'],
  value: 600,
  measured: 700,
  retryAfterMs: 3_000,
} as const

describe('a door that hears the flow', () => {
  it('lets in while the wait is below the part of the deadline that the lane has', () => {
    expect(doorBehind(0).decide(askingOf(), 0)).toBeUndefined()
    expect(doorBehind(39).decide(askingOf(), 0)).toBeUndefined()
  })

  it('refuses beyond it, with the wait, the limit, and when the backlog is worked off', () => {
    expect(doorBehind(90).decide(askingOf(), 0)).toEqual({
      ...{ limit: 'backlog', value: 400, measured: 900, unit: 'ms', retryAfterMs: 500, isOfSource: false },
      because: 'lane normal has as much backlog as its deadlines allow',
    })
  })

  it('leaves each lane its part of the deadline', () => {
    for (const lane of LANES) {
      const door = doorBehind(0, { waiting: { high: 1_000, normal: 0, low: 0 } })
      expect(door.decide(askingOf({ lane }), 0)?.value).toBe(1_000 * ADMISSION.waitShare[lane])
    }
  })

  it('goes by the shorter of an event`s own deadline and those of its lane', () => {
    expect(doorBehind(30).decide(askingOf({ deadlineMs: 500 }), 0)).toMatchObject({
      limit: 'backlog',
      value: 200,
    })
    expect(doorBehind(90).decide(askingOf({ deadlineMs: 60_000 }), 0)).toMatchObject({ value: 400 })
  })

  it('knows between two words what it let in, and what was done', () => {
    const door = doorBehind(0)
    for (let row = 0; row < 40; row++) expect(door.decide(askingOf(), 0)).toBeUndefined()
    expect(door.waitMs('normal', 0)).toBeCloseTo(400)
    expect(door.waitMs('normal', 150)).toBeCloseTo(250)
    expect(door.waitMs('high', 0)).toBe(0)
  })

  it('counts the rows that events have on average', () => {
    const door = doorBehind(0, { rowsPerEvent: 8 })
    door.decide(askingOf(), 0)
    expect(door.waitMs('normal', 0)).toBeCloseTo(80)
  })

  it('leaves a lane what workers are not handed of those above it, and its part of their round robin at least', () => {
    const waits = (handedRows: Flow['handedRows']) => {
      const door = doorBehind(0, { waiting: { high: 3, normal: 0, low: 0 }, handedRows })
      return LANES.map((lane) => Math.round(door.waitMs(lane, 0) ?? 0))
    }
    expect(waits({ high: 50, normal: 25, low: 25 })).toEqual([30, 60, 120])
    expect(waits({ high: 99, normal: 1, low: 0 })).toEqual([30, 120, 360])
  })

  it('counts what waits in the lanes above, and not in those below', () => {
    const door = doorBehind(0, { waiting: { high: 5, normal: 10, low: 20 } })
    expect(LANES.map((lane) => door.waitMs(lane, 0))).toEqual([50, 150, 350])
  })

  it('never refuses a lane that it would let a lower one in for', () => {
    const rows = fc.nat({ max: 200 })
    fc.assert(
      fc.property(rows, rows, rows, fc.integer({ min: 1, max: 5_000 }), (high, normal, low, deadlineMs) => {
        const refused = LANES.map((lane) => {
          const door = doorBehind(0, { waiting: { high, normal, low } })
          return door.decide(askingOf({ lane, deadlineMs }), 0) !== undefined
        })
        expect(refused).toEqual([...refused].sort())
      }),
    )
  })

  it('refuses no event without a deadline for waiting, but for the seconds the model allows', () => {
    const without = askingOf({ deadlineMs: undefined })
    expect(doorBehind(1e6).decide(without, 0)).toBeUndefined()
    const most = doorBehind(1_000, { maxBacklogSeconds: { high: 0, normal: 5, low: 0 } })
    expect(most.decide({ ...without, lane: 'low' }, 0)).toBeUndefined()
    expect(most.decide(without, 0)).toMatchObject({
      ...{ limit: 'maxBacklogSeconds', value: 5, measured: 10, unit: 's', retryAfterMs: 5_000 },
    })
  })

  it('refuses the lanes of a gate whatever they bring, with the gate`s own words', () => {
    const door = doorBehind(0, { gates: [{ ...gate, because: 'the stream is nearly full' }] })
    const refused = { limit: 'FEATURES.max_msgs', value: 600, measured: 700, unit: '', retryAfterMs: 3_000 }
    const because = 'the stream is nearly full'
    for (const deadlineMs of [undefined, 1_000])
      expect(door.decide(askingOf({ lane: 'low', deadlineMs }), 0)).toEqual({
        ...refused,
        isOfSource: false,
        because,
      })
    expect(door.decide(askingOf(), 0)).toBeUndefined()
  })

  it('asks nobody back sooner than after 25 ms', () => {
    const { retryAfterMs } = doorBehind(41).decide(askingOf(), 0) ?? {}
    expect(retryAfterMs).toBe(25)
  })

  it('refuses for its source where only that has more than its share', () => {
    const door = doorBehind(30, { heavy: ['hot'] })
    expect(door.decide(askingOf({ source: 'hot' }), 0)).toMatchObject({
      limit: 'share',
      isOfSource: true,
      value: 80,
    })
    expect(door.decide(askingOf({ source: 'other' }), 0)).toBeUndefined()
    const full = doorBehind(90, { heavy: ['hot'] }).decide(askingOf({ source: 'hot' }), 0)
    expect(full).toMatchObject({ limit: 'backlog', isOfSource: false })
  })

  it('leaves sources that all have too much half of it', () => {
    const door = doorBehind(0, { drainRows: 10 })
    for (let at = 0; at < 1_000; at += 5) door.decide(askingOf({ source: `s${at % 2}` }), at)
    door.hear(flowOf({ held: { high: 0, normal: 3, low: 0 }, drainRows: 10 }), 1_000)
    expect(door.decide(askingOf({ source: 's1' }), 1_000)).toMatchObject({
      ...{ limit: 'backlog', isOfSource: false, value: 200, measured: 300 },
    })
  })

  it('leaves a source that has no more than its share as long as lane `high`, while others have more', () => {
    const hasWaited = (rows: number, heavy: readonly string[]): boolean =>
      doorBehind(rows, { heavy }).decide(askingOf({ source: 'other' }), 0) === undefined
    expect(hasWaited(79, ['hot'])).toBe(true)
    expect(hasWaited(81, ['hot'])).toBe(false)
    expect(hasWaited(79, [])).toBe(false)
    expect(doorBehind(81, { heavy: ['hot'] }).decide(askingOf({ source: 'other' }), 0)).toMatchObject({
      ...{ limit: 'backlog', isOfSource: false, value: 800, measured: 810 },
    })
  })

  it('has what is urgent to a hot source wait for what others wait for below', () => {
    const isLetIn = (source: string, rows: number, deadlineMs = DEADLINES): boolean =>
      doorBehind(rows, { heavy: ['hot'], hot: 'hot', deadlineMs }).decide(
        askingOf({ source, lane: 'high' }),
        0,
      ) === undefined
    expect(isLetIn('hot', 15)).toBe(true)
    expect(isLetIn('hot', 17)).toBe(false)
    expect(isLetIn('other', 90)).toBe(true)
    // What has no deadline waits for nobody, and what is long for the one lane may be nothing for the other.
    expect(isLetIn('hot', 1_000, { ...DEADLINES, normal: 0 })).toBe(true)
    expect(isLetIn('hot', 1_000, { ...DEADLINES, normal: 100_000 })).toBe(true)
    const refused = doorBehind(17, { heavy: ['hot'], hot: 'hot' }).decide(
      askingOf({ source: 'hot', lane: 'high' }),
      0,
    )
    expect(refused).toMatchObject({ limit: 'share', isOfSource: true, value: 160, measured: 170 })
  })

  it.each([
    ['asked again', true, undefined],
    ['asks for more', false, 'share'],
  ])('a source that waited and %s is weighed by what it asks for', (_what, isAgain, limit) => {
    const closed = { drainRows: 60, everyMs: 500, gates: [{ ...gate, lanes: LANES }] }
    const door = doorBehind(0, closed)
    for (let at = 1; at <= 1_000; at += 2) {
      door.decide(askingOf({ source: 'patient', isAgain }), at)
      if (at % 100 === 1) door.decide(askingOf({ source: 'other' }), at)
    }
    door.hear(flowOf({ waiting: { high: 0, normal: 18, low: 0 }, drainRows: 60 }), 1_000)
    expect(door.decide(askingOf({ source: 'patient', isAgain }), 1_000)?.limit).toBe(limit)
  })
})

describe('a door that hears nothing', () => {
  it('lets in, however much is under way', () => {
    const door = new ModelDoor()
    for (let each = 0; each < 1_000; each++) expect(door.decide(askingOf(), 0)).toBeUndefined()
  })

  it('refuses most of what the stream would refuse', () => {
    const door = new ModelDoor()
    let refused = 0
    for (let at = 0; at < 2_000; at++) {
      const refusal = door.decide(askingOf(), at)
      if (refusal === undefined) door.told(false, at)
      else refused++
      if (refusal !== undefined)
        expect(refusal).toMatchObject({ limit: 'throttle', unit: '%', retryAfterMs: 1_000 })
    }
    expect(refused).toBeGreaterThan(1_800)
  })

  it('does so as well where what workers do is not known', () => {
    const door = new ModelDoor(undefined, () => 0)
    door.hear(flowOf({ by: 'control', drainRows: 0, everyMs: 60_000 }), 0)
    for (let each = 0; each < 20; each++) door.told(false, 0)
    door.decide(askingOf(), 0)
    expect(door.decide(askingOf(), 1)).toMatchObject({ limit: 'throttle' })
  })

  it('lets few wait until something has run, of those that have to be in time', () => {
    const waiting = { high: 0, normal: 63, low: 0 }
    const door = new ModelDoor()
    // Whatever rows they have.
    door.hear(flowOf({ waiting, drainRows: 0, rowsPerEvent: 100 }), 0)
    expect(door.decide(askingOf(), 0)).toBeUndefined()
    expect(door.decide(askingOf(), 0)).toEqual({
      ...{ limit: 'backlog', value: 64, measured: 64, unit: 'events', retryAfterMs: 250, isOfSource: false },
      because: 'nobody says how long what waits of the model already takes',
    })
    expect(door.decide(askingOf({ lane: 'high' }), 0)).toBeUndefined()
    expect(door.decide(askingOf({ deadlineMs: undefined }), 0)).toBeUndefined()
    door.hear(flowOf({ waiting, drainRows: 1_000 }), 1)
    expect(door.decide(askingOf(), 1)).toBeUndefined()
  })

  it('lets wait what comes for a pool whose workers are away', () => {
    const door = new ModelDoor()
    const waiting = { high: 0, normal: 1_000, low: 0 }
    door.hear(flowOf({ by: 'control', drainRows: 0, everyMs: 60_000, waiting }), 0)
    expect(door.decide(askingOf(), 0)).toBeUndefined()
  })

  it('takes the word of the flow as soon as there is one', () => {
    const door = new ModelDoor(undefined, () => 0)
    for (let each = 0; each < 20; each++) door.told(false, 0)
    door.decide(askingOf(), 0)
    door.hear(flowOf(), 1)
    expect(door.decide(askingOf(), 1)).toBeUndefined()
  })
})

describe('an event that is only to be refused', () => {
  /** A door of which the stream takes nothing. */
  function throttled(random: () => number): ModelDoor {
    const door = new ModelDoor(undefined, random)
    door.decide(askingOf(), 0)
    for (let each = 0; each < 20; each++) door.told(false, 0)
    return door
  }

  it('is looked at once', () => {
    const thrown = [0, 0.999, 0.999, 0]
    const door = throttled(() => thrown.shift() ?? 1)
    const limits = [1, 2, 3, 4].map(() => door.refuse(askingOf(), 1)?.limit)
    expect(limits).toEqual(['throttle', undefined, undefined, 'throttle'])
  })

  it('meets the same chance however often it is looked at, where its die is thrown already', () => {
    let thrown = 0
    const door = throttled(() => {
      thrown++
      return 0
    })
    const before = thrown
    const looks = (die: number): unknown[] => [
      door.look(askingOf({ die }), 1),
      door.refuse(askingOf({ die }), 1),
    ]
    for (let each = 0; each < 20; each++) expect(looks(1)).toEqual([undefined, undefined])
    expect(looks(0)).toEqual([
      expect.objectContaining({ limit: 'throttle' }),
      expect.objectContaining({ limit: 'throttle' }),
    ])
    expect(door.decide(askingOf({ die: 0 }), 1)).toMatchObject({ limit: 'throttle' })
    expect(door.decide(askingOf({ die: 1 }), 1)).toBeUndefined()
    expect(thrown).toBe(before)
  })

  it('counts as refused, and not at all where it is not', () => {
    const most = (door: ModelDoor): number | undefined => door.look(askingOf(), 1)?.measured
    let random = 0
    const door = throttled(() => random)
    const before = most(door) ?? 100
    expect(door.refuse(askingOf(), 1)?.measured).toBe(before)
    const after = most(door) ?? 0
    expect(after).toBeGreaterThan(before)
    random = 0.999
    expect(door.refuse(askingOf(), 1)).toBeUndefined()
    random = 0
    expect(most(door)).toBe(after)
  })

  it('adds nothing to what waits, and is never refused where that is only observed', () => {
    const door = doorBehind(39)
    for (let each = 0; each < 100; each++) expect(door.refuse(askingOf(), 0)).toBeUndefined()
    expect(door.waitMs('normal', 0)).toBe(390)
    expect(doorBehind(90).refuse(askingOf(), 0)).toMatchObject({ limit: 'backlog', measured: 900 })
    expect(doorBehind(90, { mode: 'observe' }).refuse(askingOf(), 0)).toBeUndefined()
  })

  it('counts for the share of its source', () => {
    const door = doorBehind(0, { drainRows: 60, everyMs: 500, gates: [{ ...gate, lanes: LANES }] })
    for (let at = 1; at <= 1_000; at += 2) {
      expect(door.refuse(askingOf({ source: 'hot' }), at)?.limit).toBe(gate.limit)
      if (at % 100 === 1) door.refuse(askingOf({ source: 'other' }), at)
    }
    door.hear(flowOf({ waiting: { high: 0, normal: 18, low: 0 }, drainRows: 60 }), 1_000)
    expect(door.look(askingOf({ source: 'hot' }), 1_000)?.limit).toBe('share')
    expect(door.look(askingOf({ source: 'other' }), 1_000)).toBeUndefined()
  })
})

describe('the mode', () => {
  it('`off` looks at nothing, and stays when nobody is heard any more', () => {
    const door = doorBehind(1e6, { mode: 'off', gates: [gate] })
    for (const at of [0, 60_000])
      for (let each = 0; each < 20; each++) {
        expect(door.decide(askingOf({ lane: 'low' }), at)).toBeUndefined()
        door.told(false, at)
      }
  })

  it('`observe` says what would be refused, and counts it in as it is let in', () => {
    const door = doorBehind(100, { mode: 'observe' })
    expect(door.decide(askingOf(), 0)).toMatchObject({ limit: 'backlog', measured: 1_000 })
    expect(door.decide(askingOf(), 0)).toMatchObject({ limit: 'backlog', measured: 1_010 })
    expect(door.mode).toBe('observe')
  })

  it('may change with each word', () => {
    const door = doorBehind(1e6, { mode: 'off' })
    for (const [at, mode] of ADMISSION_MODES.entries()) {
      door.hear(flowOf({ mode }), at)
      expect(door.mode).toBe(mode)
    }
  })
})

describe('whatever is heard and asked', () => {
  it('a refusal has a limit, numbers and a time, and the door a part of all', () => {
    const step = fc.record({
      ...{ laterMs: fc.nat({ max: 2_000 }), rows: fc.nat({ max: 5_000 }), drainRows: fc.nat({ max: 1_000 }) },
      ...{ lane: fc.constantFrom<Lane>(...LANES), source: fc.constantFrom('a', 'b', 'c') },
      deadlineMs: fc.option(fc.integer({ min: -1_000, max: 10_000 }), { nil: undefined }),
      ...{ isHeard: fc.boolean(), isStored: fc.boolean(), asks: fc.nat({ max: 50 }) },
    })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const door = new ModelDoor()
        let at = 0
        for (const { laterMs, rows, drainRows, lane, source, deadlineMs, isHeard, isStored, asks } of steps) {
          at += laterMs
          if (isHeard) door.hear(flowOf({ waiting: { high: rows, normal: rows, low: rows }, drainRows }), at)
          for (let ask = 0; ask < asks; ask++) {
            const refused = door.decide({ lane, source, deadlineMs }, at)
            if (refused === undefined) door.told(isStored, at)
            else {
              for (const number of [refused.value, refused.measured]) expect(number).not.toBeNaN()
              expect(refused.retryAfterMs).toBeGreaterThanOrEqual(25)
              expect(Number.isFinite(refused.retryAfterMs)).toBe(true)
              expect(refused.because).not.toBe('')
            }
          }
          expect(door.part).toBeGreaterThan(0)
          expect(door.part).toBeLessThanOrEqual(1)
        }
      }),
    )
  })
})
