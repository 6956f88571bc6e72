import { describe, expect, it } from 'vitest'
import { LANES } from '../../sdk/contract/subjects.ts'
import type { DoorFacts } from './door-facts.ts'
import { drainedBetween, type Gates, judgeGates } from './gates.ts'

const EMPTY = { messages: 0, bytes: 0, maxMessages: 1_000, maxBytes: 1_000_000 }
const REGISTER = { maxAgeMs: 86_400_000, bytesEach: 1, oldestMs: 60_000, isFull: false, isFullOfBytes: false }

function facts(changes: Partial<DoorFacts> = {}): DoorFacts {
  return {
    ...{ at: 0, epoch: 'e', lastSequence: 0, maxPerSubject: 500, counts: new Map(), waitingShare: new Map() },
    ...{ features: EMPTY, deadLetters: EMPTY, results: { ...EMPTY, ...REGISTER }, promisedMs: 100_000 },
    ...changes,
  }
}

/** Limits and lanes of the gates that are shut. */
function shutOf({ common, own }: Gates): readonly string[] {
  return [...common.filter(({ isShut }) => isShut), ...own.values()].map(
    ({ limit, lanes }) => `${limit} ${lanes.join(' ')}`,
  )
}

const ALL = LANES.join(' ')
const features = (changes: Partial<DoorFacts['features']>) => facts({ features: { ...EMPTY, ...changes } })

describe('judgeGates', () => {
  it.each([
    [599, []],
    [600, ['FEATURES.max_msgs low']],
    [849, ['FEATURES.max_msgs low']],
    [850, ['FEATURES.max_msgs normal', 'FEATURES.max_msgs low']],
    [1_000, ['FEATURES.max_msgs normal', 'FEATURES.max_msgs low']],
  ])('of 1,000 events that may wait %i shut %j', (messages, shut) => {
    expect(shutOf(judgeGates(features({ messages })))).toEqual(shut)
  })

  it.each([
    [599_999, []],
    [600_000, ['FEATURES.max_bytes low']],
    [850_000, ['FEATURES.max_bytes normal', 'FEATURES.max_bytes low']],
  ])('of a million bytes %i shut %j', (bytes, shut) => {
    expect(shutOf(judgeGates(features({ bytes })))).toEqual(shut)
  })

  it('says the limit, from where on, what was measured, and when what is there has drained so far', () => {
    const gates = judgeGates(features({ messages: 620 }), undefined, 10)
    expect(gates.common.find(({ isShut }) => isShut)).toMatchObject({
      ...{ limit: 'FEATURES.max_msgs', lanes: ['low'], value: 600, measured: 620, bound: 1_000 },
      retryAfterMs: 5_000, // 50 events above 95 % of 600, ten a second
    })
  })

  it('asks nobody to come later than in a minute, and says nothing where nothing drains', () => {
    const retryAfter = (drained: number) =>
      judgeGates(features({ messages: 1_000 }), undefined, drained).common.find(({ isShut }) => isShut)
        ?.retryAfterMs
    expect([retryAfter(0.01), retryAfter(0)]).toEqual([60_000, 0])
  })

  it('opens a gate 5 % below where it shuts, and not before', () => {
    const shut = judgeGates(features({ messages: 600 }))
    const still = judgeGates(features({ messages: 570 }), shut)
    expect(shutOf(still)).toEqual(['FEATURES.max_msgs low'])
    expect(still.common.find(({ isShut }) => isShut)).toMatchObject({ value: 600, from: 570, measured: 570 })
    const open = judgeGates(features({ messages: 569 }), still)
    expect(shutOf(open)).toEqual([])
    expect(shutOf(judgeGates(features({ messages: 599 }), open))).toEqual([])
  })

  it('shuts the lanes of one model by their own bound, never `high`', () => {
    const counts = new Map([
      ['features.default.a.low', 300],
      ['features.default.b.low', 299],
      ['features.default.b.normal', 424],
      ['features.default.c.normal', 425],
      ['features.default.c.high', 500],
    ])
    const { own, fullest } = judgeGates(facts({ counts }))
    expect([...own].map(([subject, { limit, value }]) => [subject, limit, value])).toEqual([
      ['features.default.a.low', 'FEATURES.max_msgs_per_subject', 300],
      ['features.default.c.normal', 'FEATURES.max_msgs_per_subject', 425],
    ])
    expect(fullest.map(({ lanes, measured }) => [lanes, measured])).toEqual([
      [['low'], 300],
      [['normal'], 425],
    ])
    const later = judgeGates(facts({ counts: new Map([['features.default.a.low', 285]]) }), {
      ...{ common: [], fullest: [] },
      own,
    })
    expect([...later.own.keys()]).toEqual(['features.default.a.low'])
  })

  it('shuts all lanes at 80 % of a bound of DEADLETTERS', () => {
    const at = (changes: object) => shutOf(judgeGates(facts({ deadLetters: { ...EMPTY, ...changes } })))
    expect(at({ messages: 799, bytes: 799_999 })).toEqual([])
    expect(at({ messages: 800 })).toEqual([`DEADLETTERS.max_msgs ${ALL}`])
    expect(at({ bytes: 800_000 })).toEqual([`DEADLETTERS.max_bytes ${ALL}`])
  })

  it('has no gate for what has no bound', () => {
    const unbounded = {
      messages: 9e9,
      bytes: 9e12,
      maxMessages: Number.POSITIVE_INFINITY,
      maxBytes: Infinity,
    }
    const gates = judgeGates(
      facts({
        ...{ features: unbounded, deadLetters: unbounded, results: { ...unbounded, ...REGISTER } },
        ...{ maxPerSubject: Number.POSITIVE_INFINITY, counts: new Map([['features.default.a.low', 9e9]]) },
      }),
    )
    expect(gates).toEqual({ common: [], own: new Map(), fullest: [] })
  })
})

describe('the gate of RESULTS', () => {
  const full = (oldestMs: number, changes: object = {}): DoorFacts =>
    facts({ results: { ...EMPTY, ...REGISTER, messages: 1_000, isFull: true, oldestMs, ...changes } })

  it('shuts all lanes where results leave before the time they are promised for, and says what they would need', () => {
    const gates = judgeGates(full(80_000))
    expect(shutOf(gates)).toEqual([`RESULTS.max_msgs ${ALL}`])
    expect(gates.common.find(({ isShut }) => isShut)).toMatchObject({
      ...{ value: 1_000, measured: 1_250 },
      retryAfterMs: 25_263, // the oldest is 105 s old then, 5 % more than is promised
    })
  })

  it('opens once the oldest is old enough, and stays open while it is full of those', () => {
    const shut = judgeGates(full(80_000))
    expect(shutOf(judgeGates(full(101_000), shut))).toEqual([`RESULTS.max_msgs ${ALL}`])
    expect(shutOf(judgeGates(full(106_000), shut))).toEqual([])
    expect(shutOf(judgeGates(full(101_000)))).toEqual([])
  })

  it('names the bytes where those are what is reached', () => {
    const bytes = { messages: 10, bytes: 995_000, isFullOfBytes: true }
    expect(shutOf(judgeGates(full(50_000, bytes)))).toEqual([`RESULTS.max_bytes ${ALL}`])
  })

  it('is open while there is room, however young the oldest is', () => {
    expect(shutOf(judgeGates(full(5, { messages: 999, isFull: false })))).toEqual([])
  })
})

describe('drainedBetween', () => {
  const look = (at: number, lastSequence: number, messages: number, epoch = 'e') =>
    facts({ at, lastSequence, epoch, features: { ...EMPTY, messages } })

  it('counts what left, also while more came', () => {
    expect(drainedBetween(look(0, 100, 50), look(2_000, 400, 150))).toBe(100)
    expect(drainedBetween(look(0, 100, 50), look(2_000, 100, 30))).toBe(10)
  })

  it('is none before there were two looks, and over streams that are not the same', () => {
    expect(drainedBetween(undefined, look(0, 100, 50))).toBe(0)
    expect(drainedBetween(look(0, 100, 50), look(2_000, 100, 0, 'other'))).toBe(0)
    expect(drainedBetween(look(0, 100, 50), look(0, 100, 0))).toBe(0)
  })
})
