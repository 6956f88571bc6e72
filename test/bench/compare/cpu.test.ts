import { describe, expect, it } from 'vitest'
import { parseBusy, parseSchedstat, parseStat, parseThreadNames, type Snapshot, timeBetween } from './cpu.ts'

describe('parseStat', () => {
  it('adds what a thread used itself and what the system used for it', () => {
    const text = '4242 (node) S 1 4242 4242 0 -1 4194560 9 0 0 0 731 52 0 0 20 0 11 0 88 1 2 3\n'
    expect(parseStat(text)).toEqual({ name: 'node', us: 7_830_000 })
  })

  it('reads on after the last bracket of a name', () => {
    const text = '7 (a (b) 1 2) R 1 7 7 0 -1 64 9 0 0 0 3 4 0 0 20 0 1 0 88 1 2 3\n'
    expect(parseStat(text)).toEqual({ name: 'a (b) 1 2', us: 70_000 })
  })
})

it('parseSchedstat reads nanoseconds', () => {
  expect(parseSchedstat('1234567890 42 7\n')).toBe(1_234_567.89)
})

it('parseBusy counts all but idle and waiting, of all processors together', () => {
  const text = 'cpu  10 20 30 1000 500 1 2 3 0 0\ncpu0 5 10 15 500 250 0 1 1 0 0\n'
  expect(parseBusy(text)).toBe(660_000)
})

it('parseThreadNames takes the lines of one process', () => {
  const text = '70 70 main\n71 71 main\n70 74 inference-thread\n'
  expect([...parseThreadNames(text, 70)]).toEqual([
    ['70', 'main'],
    ['74', 'inference-thread'],
  ])
})

describe('timeBetween', () => {
  const thread = (us: number, comm = 'node') => ({ comm, us })
  const at = (change: Partial<Snapshot>): Snapshot => ({
    atMs: 0,
    threads: new Map(),
    brokerUs: 0,
    generatorUs: undefined,
    ownUs: 0,
    busyUs: 0,
    ...change,
  })
  const names = new Map([
    ['1', 'main'],
    ['4', 'inference-thread'],
  ])

  it('tells processes and threads apart, those without a name together', () => {
    const before = at({
      threads: new Map([
        ['1', thread(500)],
        ['2', thread(50)],
      ]),
      brokerUs: 1_000,
    })
    const after = at({
      atMs: 1,
      threads: new Map([
        ['1', thread(800)],
        ['2', thread(60)],
        ['3', thread(5)],
        ['4', thread(70)],
        ['5', thread(9, 'V8Worker')],
      ]),
      brokerUs: 1_200,
    })
    expect(timeBetween(before, after, names, 2).us).toEqual({
      worker: 394,
      'worker.main': 300,
      'worker.native': 15,
      'worker.inference-thread': 70,
      'worker.V8Worker': 9,
      broker: 200,
    })
  })

  it('takes for others what no process of ours used of all cores', () => {
    const before = at({ generatorUs: 1_000 })
    const threads = new Map([['1', thread(2_000)]])
    const after = at({ atMs: 10, threads, brokerUs: 1_000, generatorUs: 3_000, ownUs: 500, busyUs: 9_500 })
    expect(timeBetween(before, after, names, 2)).toMatchObject({ us: { generator: 2_000 }, others: 0.2 })
  })

  it('is not fooled by ticks into others that had less than nothing', () => {
    expect(timeBetween(at({}), at({ atMs: 1, brokerUs: 900, busyUs: 0 }), names, 2).others).toBe(0)
  })
})
