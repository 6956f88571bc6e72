import { beforeEach, describe, expect, it } from 'vitest'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { emptyRecord, type ModelRecord } from '../../../shared/operations/models/model-record.ts'
import { type Flow, type FlowGate, sourceDigest } from '../../../shared/sdk/contract/flow.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type DeliveredEvent, deliveryOf } from '../../../test/kit/deliveries.ts'
import type { KnownCost } from '../batch/learned.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { Batch } from '../prepare/prepared.ts'
import { Flows } from './flows.ts'

const MAX_BACKLOG = { high: 60, normal: 3_600, low: 0 }

function servedModel(name: string, deadlineMs?: number): ServedModel {
  const manifest = { admission: { mode: 'enforce', maxBacklogSeconds: MAX_BACKLOG }, slo: { deadlineMs } }
  return { name, key: `${name} 1`, maxBatchRows: 8, manifest } as unknown as ServedModel
}

const SERVED = [servedModel('a'), servedModel('b', 2_000)]
const UNKNOWN_COST: KnownCost = { fixedMs: 0, perRowMs: 0, handOverMs: 0, batchRows: 8 }
const EVERY_MS = 100

let nowMs: number
let waiting: Partial<Record<string, number>>
let held: (readonly [delivery: Delivery, rows: number])[]
let record: ModelRecord
let gates: readonly FlowGate[]
let apart: string | undefined
let cost: KnownCost
let flows: Flows

beforeEach(() => {
  nowMs = 1_000_000
  waiting = {}
  held = []
  record = emptyRecord('default', 'a')
  gates = []
  apart = undefined
  cost = UNKNOWN_COST
  flows = new Flows({
    name: 'w1',
    models: { find: (name) => SERVED.find((model) => model.name === name) },
    recordOf: (model) => (model === 'a' ? record : undefined),
    isApart: (model) => model === apart,
    threads: 2,
    costOf: () => cost,
    loopShare: () => 0,
    backlog: { waitingIn: (lane) => waiting[lane] ?? 0 },
    held: { toRun: (each) => held.forEach((one) => void each(...one)) },
    gatesOf: () => gates,
    random: () => 0.5,
  })
})

const deliveries = (count: number, event: DeliveredEvent): readonly Delivery[] =>
  Array.from({ length: count }, () => deliveryOf(event))

const receive = (count: number, event: DeliveredEvent): void =>
  flows.received(deliveries(count, event), nowMs)

/** Events of a model that can be run. */
function read(count: number, rows: number, event: DeliveredEvent): void {
  const model = SERVED.find(({ name }) => name === event.model)
  const batch = deliveries(count, event).map((delivery) => ({ delivery, model, rows }))
  flows.read(batch as unknown as Batch, nowMs)
}

/** What is said after some time. */
function say(afterMs = EVERY_MS): ReadonlyMap<string, Flow> {
  nowMs += afterMs
  const said = flows.say({ nowMs, at: 5_000.4, everyMs: EVERY_MS })
  return new Map(said.map(({ model, flow }) => [model, flow]))
}

/** Says again and again for so long, and returns what was said last of a model. */
function sayFor(ms: number, model = 'a'): Flow | undefined {
  let last: Flow | undefined
  for (let passedMs = 0; passedMs < ms; passedMs += EVERY_MS) last = say().get(model)
  return last
}

describe('flows', () => {
  it('are said of models that are served and came, and of no other name', () => {
    expect(say().size).toBe(0)
    receive(1, { model: 'a' })
    receive(1, { model: 'nobody' })
    expect([...say().keys()]).toEqual(['a'])
    expect(flows.size).toBe(1)
  })

  it('begin with who says it, when, and what the manifest says', () => {
    receive(1, { model: 'a' })
    expect(say().get('a')).toEqual({
      ...{ by: 'worker', name: 'w1', at: 5_000, everyMs: EVERY_MS, drainRows: 0, rowsPerEvent: 1 },
      waiting: { high: 0, normal: 0, low: 0 },
      held: { high: 0, normal: 0, low: 0 },
      handedRows: {
        high: 0,
        normal: expect.closeTo((1_000 * (1 - Math.exp(-EVERY_MS / 300))) / EVERY_MS, 1),
        low: 0,
      },
      deadlineMs: { high: 0, normal: 0, low: 0 },
      ...{ heavy: [], hot: null, mode: 'enforce', maxBacklogSeconds: MAX_BACKLOG, gates: [] },
    })
  })

  it('have of what waits in a lane the share that the model had of what the lane delivered', () => {
    receive(30, { model: 'a', lane: 'high' })
    receive(10, { model: 'b', lane: 'high' })
    receive(10, { model: 'nobody', lane: 'high' })
    receive(10, { model: 'b', lane: 'low' })
    waiting = { high: 1_000, low: 50, normal: 7 }
    const said = say()
    expect(said.get('a')?.waiting).toEqual({ high: 600, normal: 0, low: 0 })
    expect(said.get('b')?.waiting).toEqual({ high: 200, normal: 0, low: 50 })
    // As long as nothing more is delivered the shares stay as they are.
    expect(sayFor(20_000)?.waiting.high).toBe(600)
  })

  it('forget what a lane delivered before', () => {
    receive(100, { model: 'a' })
    say(10_000)
    receive(100, { model: 'b' })
    waiting = { normal: 1_000 }
    expect(say().get('a')?.waiting.normal).toBeLessThan(20)
  })

  it('have the rows that are held and not run, by lane', () => {
    receive(1, { model: 'a' })
    const one = (lane: Lane, rows: number, model = 'a') => [deliveryOf({ model, lane }), rows] as const
    held = [one('high', 3), one('high', 4), one('low', 1), one('high', 9, 'nobody')]
    expect(say().get('a')?.held).toEqual({ high: 7, normal: 0, low: 1 })
    held = []
    expect(say().get('a')?.held.high).toBe(0)
  })

  it('have the rows a second that were handed out lately, by lane', () => {
    for (let times = 0; times < 40; times++) {
      receive(8, { model: 'a', lane: 'high' })
      read(8, 3, { model: 'a', lane: 'high' })
      receive(1, { model: 'a', lane: 'low' })
      say()
    }
    const { handedRows } = say(0).get('a') as Flow
    expect(handedRows.high / ((8 * 3 * 1_000) / EVERY_MS)).toBeCloseTo(1, 1)
    expect(handedRows.low / handedRows.high).toBeCloseTo(1 / 8)
  })

  it('know how many rows an event has', () => {
    receive(40, { model: 'a' })
    read(30, 1, { model: 'a' })
    read(10, 5, { model: 'a' })
    expect(say().get('a')?.rowsPerEvent).toBe(2)
    expect(sayFor(5_000)?.rowsPerEvent).toBe(2)
  })

  it('have rows per busy second, times threads, times the share of busy time', () => {
    receive(2, { model: 'a' })
    read(1, 1, { model: 'a' })
    read(1, 1, { model: 'b' })
    for (let times = 0; times < 50; times++) {
      // Both threads are busy all the time, one with each model: 10 rows in 50 ms, and 1 row in 50 ms.
      for (let run = 0; run < 2; run++) {
        flows.ran({ key: 'a 1', rows: 10, runMs: EVERY_MS / 2 })
        flows.ran({ key: 'b 1', rows: 1, runMs: EVERY_MS / 2 })
      }
      say()
    }
    const said = say(0)
    expect(said.get('a')?.drainRows).toBeCloseTo(200)
    expect(said.get('b')?.drainRows).toBeCloseTo(20)
    // The other one stops: both threads are this one's.
    for (let times = 0; times < 300; times++) {
      for (let run = 0; run < 4; run++) flows.ran({ key: 'a 1', rows: 10, runMs: EVERY_MS / 2 })
      say()
    }
    expect(say(0).get('a')?.drainRows).toBeCloseTo(400)
  })

  it('take idle time for full batches where the cost of a model is known', () => {
    cost = { ...UNKNOWN_COST, fixedMs: 1, perRowMs: 1 }
    receive(1, { model: 'a' })
    // Nothing has run yet: eight rows in nine milliseconds, on two threads.
    expect(say().get('a')?.drainRows).toBeCloseTo(2 * (8_000 / 9), 0)
  })

  it('have of a model that runs apart what its process runs, one after the other', () => {
    apart = 'a'
    receive(1, { model: 'a' })
    read(1, 1, { model: 'a' })
    expect(say().get('a')?.drainRows).toBe(0)
    flows.ranApart({ key: 'a 1', rows: 1, runMs: 500 })
    expect(say().get('a')?.drainRows).toBe(2)
  })

  it('have the short deadlines of a lane, from when events were stored; else that of the manifest', () => {
    const expiry = { [HEADERS.expiryTime]: new Date(10_250).toISOString() }
    const late = { [HEADERS.expiryTime]: new Date(9_000).toISOString() }
    for (const model of ['a', 'b']) receive(100, { model, lane: 'high', storedAt: 10_000, headers: expiry })
    receive(100, { model: 'a', lane: 'low', storedAt: 10_000, headers: late })
    // What is tried again was stored later, and says nothing of what its producer wants.
    const again = deliveries(100, { model: 'a', lane: 'normal', storedAt: 10_200, headers: expiry })
    const copies = again.map((copy) => ({ ...copy, info: { ...copy.info, stream: STREAMS.retries } }))
    flows.received(copies, nowMs)
    const said = say()
    expect(said.get('a')?.deadlineMs).toEqual({ high: 250, normal: 0, low: 0 })
    expect(said.get('b')?.deadlineMs).toEqual({ high: 250, normal: 2_000, low: 2_000 })
  })

  it('name the sources that have more than their max-min share, by digest', () => {
    const from = (source: string) => ({ model: 'a', headers: { [HEADERS.source]: source } })
    receive(1, from('cold'))
    for (let times = 0; times < 20; times++) {
      read(64, 1, from('hot'))
      read(4, 1, from('cold'))
      flows.ran({ key: 'a 1', rows: 30, runMs: 2 * EVERY_MS })
      say()
    }
    expect(say(1).get('a')?.heavy).toEqual([sourceDigest('hot')])
  })

  it('have the mode that an operator set, and the gates that are said', () => {
    record = { ...record, admission: { mode: 'observe', by: 'ops', at: 1 } }
    gates = [{ limit: 'breaker', lanes: ['low'], value: 0.5, measured: 1, retryAfterMs: 100 }]
    receive(1, { model: 'a' })
    expect(say().get('a')).toMatchObject({ mode: 'observe', gates })
  })

  it('end ten seconds after the model ran or waited, with a last word in which nothing waits', () => {
    receive(1, { model: 'a' })
    waiting = { normal: 5 }
    expect(sayFor(30_000)?.waiting.normal).toBe(5)
    waiting = { normal: 0 }
    expect(sayFor(9_900)).toBeDefined()
    expect(say().get('a')).toMatchObject({ waiting: { normal: 0 }, held: { normal: 0 } })
    expect(say().size).toBe(0)
    expect(flows.size).toBe(0)
  })

  it('go on as long as there is a gate, though nothing comes', () => {
    receive(1, { model: 'a' })
    gates = [{ limit: 'breaker', lanes: ['low'], value: 0.5, measured: 1, retryAfterMs: 100 }]
    expect(sayFor(60_000)).toBeDefined()
    gates = []
    sayFor(10_000)
    expect(say().size).toBe(0)
  })

  it('are said of a model with a gate before anything of it comes, once that is asked for', () => {
    flows.speakOf('a', nowMs)
    expect(say().size).toBe(0)
    gates = [{ limit: 'breaker', lanes: ['low'], value: 0.5, measured: 1, retryAfterMs: 100 }]
    flows.speakOf('nobody', nowMs)
    flows.speakOf('a', nowMs)
    expect(say().get('a')).toMatchObject({ gates })
  })

  it('begin anew after a pause, as if nothing had been', () => {
    receive(10, { model: 'a' })
    read(10, 4, { model: 'a' })
    flows.ran({ key: 'a 1', rows: 4, runMs: 10 })
    sayFor(11_000)
    expect(flows.size).toBe(0)
    nowMs += 3_600_000
    receive(1, { model: 'a' })
    expect(say().get('a')).toMatchObject({ drainRows: 0, rowsPerEvent: 1 })
  })
})
