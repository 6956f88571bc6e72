import { describe, expect, it } from 'vitest'
import type { DoorFacts } from '../../../shared/operations/gates/door-facts.ts'
import { judgeGates, NO_GATES } from '../../../shared/operations/gates/gates.ts'
import type { SeenPool } from '../../../shared/operations/models/all-pools.ts'
import { emptyRecord, type ModelRecord } from '../../../shared/operations/models/model-record.ts'
import { decodeFlow, encodeFlow } from '../../../shared/sdk/contract/flow.ts'
import { type WordsInput, wordsOf } from './words.ts'

const USE = { messages: 0, bytes: 0, maxMessages: 1_000, maxBytes: 1_000_000 }
const REGISTER = { maxAgeMs: 1e9, bytesEach: 1, oldestMs: 1, isFull: false, isFullOfBytes: false }

function facts(changes: Partial<DoorFacts> = {}): DoorFacts {
  return {
    ...{ at: 7, epoch: 'e', lastSequence: 0, maxPerSubject: 500, counts: new Map(), waitingShare: new Map() },
    ...{ features: USE, deadLetters: USE, results: { ...USE, ...REGISTER }, promisedMs: 100_000 },
    ...changes,
  }
}

const record = (model: string, more: Partial<ModelRecord> = {}): ModelRecord => ({
  ...emptyRecord('default', model),
  ...more,
})
const pool = (...records: readonly ModelRecord[]): SeenPool => ({ pool: 'default', workers: [], records })

function say(changes: Partial<WordsInput>) {
  const facts_ = changes.facts ?? facts()
  return wordsOf({
    ...{ facts: facts_, gates: judgeGates(facts_), pools: [], name: 'c', everyMs: 2_000, before: new Map() },
    ...changes,
  })
}

const COUNTS = new Map([
  ['features.default.a.high', 10],
  ['features.default.a.low', 40],
  ['features.gpu.b%2Ec.normal', 3],
])

describe('wordsOf', () => {
  it('says of each model with events how many wait in each lane, without those that workers hold', () => {
    const waitingShare = new Map([['worker-default-low', 0.5]])
    const { words } = say({ facts: facts({ counts: COUNTS, waitingShare }) })
    expect(words.map(({ pool, model, flow }) => [pool, model, flow.waiting])).toEqual([
      ['default', 'a', { high: 10, normal: 0, low: 20 }],
      ['gpu', 'b.c', { high: 0, normal: 3, low: 0 }],
    ])
    const { flow } = words[0] ?? {}
    expect(flow).toMatchObject({ by: 'control', name: 'c', at: 7, everyMs: 2_000, drainRows: 0, gates: [] })
    expect(decodeFlow(encodeFlow(flow as never))).toMatchObject({ waiting: flow?.waiting })
  })

  it('says the mode that an operator set', () => {
    const admission = { mode: 'observe', by: 'ops', at: 1 } as const
    const { words } = say({ facts: facts({ counts: COUNTS }), pools: [pool(record('a', { admission }))] })
    expect(words.map(({ flow }) => flow.mode)).toEqual(['observe', 'enforce'])
  })

  it('has one last word for a model of which nothing waits any more', () => {
    const first = say({ facts: facts({ counts: COUNTS }) })
    const second = say({ before: first.told })
    expect(second.words.map(({ model, flow }) => [model, flow.waiting.low])).toEqual([
      ['a', 0],
      ['b.c', 0],
    ])
    expect(say({ before: second.told }).words).toEqual([])
  })

  it('says a gate of all models of each that a pool knows, and once more when it has opened', () => {
    const full = facts({ counts: COUNTS, features: { ...USE, messages: 600 } })
    const pools = [pool(record('a'), record('idle'))]
    const shut = say({ facts: full, pools })
    expect(shut.words.map(({ model, flow }) => [model, flow.gates.map(({ limit }) => limit)])).toEqual([
      ['a', ['FEATURES.max_msgs']],
      ['b.c', ['FEATURES.max_msgs']],
      ['idle', ['FEATURES.max_msgs']],
    ])
    const open = say({ pools, before: shut.told, gates: NO_GATES })
    expect(open.words.map(({ flow }) => flow.gates)).toEqual([[], [], []])
  })

  it('says a gate of one model of that alone', () => {
    const counts = new Map([...COUNTS, ['features.default.a.low', 300]])
    const { words } = say({ facts: facts({ counts }) })
    expect(words.map(({ model, flow }) => [model, flow.gates.map(({ limit }) => limit)])).toEqual([
      ['a', ['FEATURES.max_msgs_per_subject']],
      ['b.c', []],
    ])
  })

  it('has no last word for a model that is only not spoken of among too many', () => {
    const many = (waiting: (at: number) => number) =>
      facts({
        counts: new Map(
          Array.from({ length: 4_097 }, (_each, at) => [`features.default.m${at}.low`, waiting(at)]),
        ),
      })
    const first = say({ facts: many((at) => (at === 0 ? 100 : 10)) })
    expect(first.told.has('default\nm0')).toBe(true)
    const second = say({ facts: many((at) => (at === 0 ? 1 : 10)), before: first.told })
    expect(second.words.filter(({ model }) => model === 'm0')).toEqual([])
    // It is over once nothing waits.
    const third = say({ before: second.told })
    expect(third.words.find(({ model }) => model === 'm0')?.flow.waiting.low).toBe(0)
  })

  it('speaks of no more models than there is time for, of those first of which most waits', () => {
    const many = Array.from(
      { length: 5_000 },
      (_each, at) => [`features.default.m${at}.low`, at + 1] as const,
    )
    const { words } = say({ facts: facts({ counts: new Map(many) }) })
    expect(words).toHaveLength(4_096)
    expect(words[0]?.model).toBe('m4999')
  })
})
