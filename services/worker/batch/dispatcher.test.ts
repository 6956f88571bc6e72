import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LANES, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { deliveryOf } from '../../../test/kit/deliveries.ts'
import type { Batch, Prepared } from '../prepare/prepared.ts'
import { Dispatcher, type DispatcherOptions } from './dispatcher.ts'

const LINGER_MS = 5
const cost = { fixedMs: 0.01, perRowMs: 0.001, handOverMs: 0.1, batchRows: 64 }
let started: Batch[]

beforeEach(() => {
  started = []
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'performance'],
  })
})
afterEach(() => {
  vi.useRealTimers()
})

/** One slot has two places. Kinds with a `~` are patient, models with a `!` run apart. */
function open(slots = 1, learned: Partial<DispatcherOptions> = {}): Dispatcher {
  return new Dispatcher({
    ...learned,
    slots,
    lingerMs: LINGER_MS,
    isUrgent: ({ kind }) => !kind.includes('~'),
    isApart: ({ kind }) => kind.includes('!'),
    start: (batch) => void started.push(batch),
  })
}

const models = new Map<string, Prepared['model']>()
const delivery = deliveryOf({ model: 'm' })

/** An event as a dispatcher reads it, of a model of its kind. */
function event(kind: string, extra: Partial<Prepared> = {}): Prepared {
  const model = models.get(kind) ?? ({ key: kind } as Prepared['model'])
  models.set(kind, model)
  return { kind, rows: 1, maxBatchRows: 4, model, delivery, ...extra } as Prepared
}

/** Time goes by, and what has arrived is read. */
async function advance(ms: number): Promise<void> {
  vi.advanceTimersByTime(ms)
  await new Promise(setImmediate)
}

const kinds = (): string[] => started.map((batch) => batch.map(({ kind }) => kind).join(' '))

describe('Dispatcher', () => {
  it('starts a full batch at once, in the order its events came', () => {
    const batch = [event('a'), event('a'), event('a'), event('a')]
    open().add(batch)
    expect(started).toEqual([batch])
  })

  it('makes several batches of what came together, by kind and size', async () => {
    const dispatcher = open(2)
    dispatcher.add([...'abababababab'].map((kind) => event(kind)))
    expect(kinds().sort()).toEqual(['a a a a', 'b b b b'])
    await advance(LINGER_MS)
    expect(kinds().slice(2)).toEqual(['a a', 'b b'])
  })

  it('starts what is not full once the linger of its first event is over, not before', async () => {
    const dispatcher = open()
    dispatcher.add([event('a')])
    await advance(LINGER_MS - 1)
    dispatcher.add([event('a')])
    expect(started).toEqual([])
    await advance(1)
    expect(kinds()).toEqual(['a a'])
  })

  it('starts no more than there are places, and the next as soon as one is free', () => {
    const dispatcher = open()
    dispatcher.add(['a', 'b', 'c', 'd'].map((kind) => event(kind, { maxBatchRows: 1 })))
    expect(kinds()).toEqual(['a', 'b'])
    expect([...dispatcher.running]).toEqual(started)
    const [first, second] = started as [Batch, Batch]
    dispatcher.free(second)
    expect(kinds()).toEqual(['a', 'b', 'c'])
    dispatcher.free(first)
    expect(kinds()).toEqual(['a', 'b', 'c', 'd'])
    expect([...dispatcher.running]).toEqual(started.slice(2))
  })

  it('frees a place once, whoever says so again', () => {
    const dispatcher = open()
    dispatcher.add(['a', 'b', 'c', 'd'].map((kind) => event(kind, { maxBatchRows: 1 })))
    const [first] = started as [Batch]
    dispatcher.free(first)
    dispatcher.free(first)
    expect(kinds()).toEqual(['a', 'b', 'c'])
  })

  it('lets an event that runs alone wait until every place is free, and start nothing beside it', () => {
    const dispatcher = open()
    dispatcher.add([event('a', { maxBatchRows: 1 })])
    dispatcher.add([event('x', { runsAlone: true }), event('y', { runsAlone: true })])
    dispatcher.add([event('b', { maxBatchRows: 1 })])
    expect(kinds()).toEqual(['a'])
    for (const each of ['x', 'y', 'b']) {
      dispatcher.free(started.at(-1) as Batch)
      expect(kinds().at(-1)).toBe(each)
    }
    expect(kinds()).toEqual(['a', 'x', 'y', 'b'])
  })

  it('waits for nothing once it is flushed', () => {
    const dispatcher = open(2)
    dispatcher.add([event('a'), event('b')])
    dispatcher.flush()
    expect(kinds()).toEqual(['a', 'b'])
    dispatcher.add([event('c')])
    expect(kinds()).toEqual(['a', 'b', 'c'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('keeps the places of one slot from patient batches, which hold back no urgent one', () => {
    const dispatcher = open(2)
    dispatcher.add(['~1', '~2', '~3', '~4', 'a', 'b'].map((kind) => event(kind, { maxBatchRows: 1 })))
    expect(kinds()).toEqual(['~1', '~2', 'a', 'b'])
    dispatcher.free(started[2] as Batch)
    expect(kinds()).toEqual(['~1', '~2', 'a', 'b'])
    dispatcher.add([event('c', { maxBatchRows: 1 })])
    expect(kinds().at(-1)).toBe('c')
    dispatcher.free(started[0] as Batch)
    expect(kinds().at(-1)).toBe('~3')
  })

  it('wakes for an urgent batch that is due, whatever patient ones wait for a place', async () => {
    const dispatcher = open(2)
    dispatcher.add(['~1', '~2', '~3'].map((kind) => event(kind, { maxBatchRows: 1 })))
    dispatcher.add([event('a')])
    await advance(LINGER_MS)
    expect(kinds()).toEqual(['~1', '~2', 'a'])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('runs one event of a model apart at a time, beside full places and an event that runs alone', () => {
    const dispatcher = open()
    dispatcher.add([event('x', { runsAlone: true })])
    dispatcher.add(['!p', '!p', '!q', '!r'].map((kind) => event(kind)))
    expect(kinds()).toEqual(['x', '!p', '!q'])
    dispatcher.free(started[1] as Batch)
    expect(kinds().slice(3)).toEqual(['!r'])
    dispatcher.free(started[2] as Batch)
    expect(kinds().slice(4)).toEqual(['!p'])
    expect([...dispatcher.running]).toEqual([started[0]])
  })

  it('gives out again what waits and is of a model that runs apart', async () => {
    const dispatcher = open()
    const waiting = [event('!p'), event('!p'), event('!q')]
    dispatcher.add([...waiting, event('a')])
    expect(dispatcher.removeApart()).toEqual([waiting[1]])
    await advance(LINGER_MS)
    expect(kinds()).toEqual(['!p', '!q', 'a'])
  })

  it('starts with its turn what nothing is to be gained for by waiting, of a model whose cost is known', async () => {
    const dispatcher = open(2, { costOf: () => cost })
    dispatcher.add([event('a')])
    dispatcher.add([event('a')])
    await advance(0)
    expect(kinds()).toEqual(['a a'])
  })

  it('gives a batch of a model whose cost is known no more rows than make a row cheaper', async () => {
    const dispatcher = open(2, { costOf: () => ({ ...cost, batchRows: 2 }) })
    dispatcher.add([...'aaaaa'].map((kind) => event(kind)))
    await advance(0)
    expect(kinds()).toEqual(['a a', 'a a', 'a'])
  })

  it('lets what waits already have no more rows than its last run says', async () => {
    let known: typeof cost | undefined
    const dispatcher = open(1, { costOf: () => known })
    dispatcher.add([...'aaaaaaaaaaaaa'].map((kind) => event(kind)))
    expect(kinds()).toEqual(['a a a a', 'a a a a'])
    known = { ...cost, fixedMs: 0, perRowMs: 20 }
    dispatcher.free(started[0] as Batch)
    expect(kinds()).toEqual(['a a a a', 'a a a a', 'a'])
  })

  it('waits for full batches while a backlog waits, as long as without a known cost', async () => {
    const dispatcher = open(2, { costOf: () => cost, waiting: () => 1_000 })
    dispatcher.add([event('a'), event('a')])
    await advance(LINGER_MS - 1)
    expect(kinds()).toEqual([])
    dispatcher.add([event('a'), event('a'), event('a')])
    expect(kinds()).toEqual(['a a a a'])
    await advance(LINGER_MS)
    expect(kinds()).toEqual(['a a a a', 'a'])
  })

  it('tells how many rows of its model run before an event: what runs, what waits in its lane and above', () => {
    const dispatcher = open(1, { brokerNow: () => 0 })
    const model = event('a').model
    const of = (lane: Lane, extra: Partial<Prepared> = {}): Prepared =>
      event(lane === 'low' ? 'a low' : 'a', { model, delivery: deliveryOf({ model: 'm', lane }), ...extra })
    const ahead = (): number[] => LANES.map((lane) => dispatcher.aheadRows(of(lane)))
    expect(ahead()).toEqual([0, 0, 0])
    dispatcher.add([of('normal', { rows: 4 }), of('normal', { rows: 4 })])
    expect(ahead()).toEqual([8, 8, 8])
    dispatcher.add([of('low', { rows: 2 }), of('normal', { rows: 3 }), of('high'), event('b', { rows: 4 })])
    expect(ahead()).toEqual([9, 12, 14])
    dispatcher.free(started[0] as Batch)
    expect(kinds()).toEqual(['a', 'a', 'a a'])
    expect(ahead()).toEqual([8, 8, 10])
    for (let next = 1; next < started.length; next++) dispatcher.free(started[next] as Batch)
    dispatcher.flush()
    dispatcher.free(started.at(-1) as Batch)
    expect(ahead()).toEqual([0, 0, 0])
  })

  it('gives a batch no more rows than can be run by the nearest deadline in it', () => {
    const known = { ...cost, fixedMs: 1, perRowMs: 2 }
    const dispatcher = open(1, { costOf: () => known, brokerNow: () => 100 })
    const delivery = deliveryOf({ model: 'm', headers: { 'ce-expirytime': new Date(109).toISOString() } })
    dispatcher.add([...'aaaaaaa'].map((kind) => event(kind, { delivery })))
    expect(kinds()).toEqual(['a a a', 'a a a'])
  })

  it('lets a batch that is due wait for events that are here already, for a few turns of the loop', async () => {
    let more = 3
    const dispatcher = open(2, { isMoreHere: () => --more > 0 })
    dispatcher.add([event('a')])
    await advance(LINGER_MS)
    expect(kinds()).toEqual([])
    dispatcher.add([event('a')])
    await advance(0)
    await advance(0)
    expect(kinds()).toEqual(['a a'])
    more = Number.POSITIVE_INFINITY
    dispatcher.add([event('b')])
    await advance(LINGER_MS)
    for (let turn = 0; turn < 10; turn++) await advance(0)
    expect(kinds()).toEqual(['a a', 'b'])
  })
})
