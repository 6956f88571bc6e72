import { describe, expect, it } from 'vitest'
import { steady } from '../scenarios/load/schedule.ts'
import { LAWS } from './doors/laws.ts'
import { SHAPES } from './load/shapes.ts'
import { capacityOf, type PoolSetup } from './pool/pool-setup.ts'
import { type Setup, simulate } from './run.ts'
import { HEAVY, setupOf } from './setup.ts'

/** One worker that runs events one by one, each in 10 ms, with nothing between it and its clients. */
function queueOf(load: number): Setup {
  const usual = setupOf({ law: LAWS.none.make })
  const pool: PoolSetup = {
    ...{ ...usual.pool, workers: 1, cost: { fixedMs: 0, perRowMs: 10 }, mostRows: 1, wayMs: 0 },
  }
  const phases = [steady('shown', load * capacityOf(pool), 600)]
  return { ...usual, pool, demand: { ...usual.demand, phases, shown: 'shown', deadlineMs: 3_600_000 } }
}

describe('the simulation of a queue whose waits are known', () => {
  // Pollaczek and Khinchine: of a queue M/D/1 the mean wait is ρ / (2 (1 − ρ)) of its service.
  it.each([0.3, 0.5, 0.7])('has the mean wait of M/D/1 at %f of what it carries', (load) => {
    const { slices } = simulate(queueOf(load))
    const [sum, count] = slices.reduce(
      ([ms, events], { meanMs, predictions }) =>
        predictions === 0 ? [ms, events] : [ms + meanMs * predictions, events + predictions],
      [0, 0],
    )
    const waitMs = sum / count - 10
    const expected = (10 * load) / (2 * (1 - load))
    expect(Math.abs(waitMs - expected) / expected).toBeLessThan(0.04)
  })
})

describe('a simulated overload', () => {
  const normalOnly = (law: Setup['law']): Setup => {
    const setup = setupOf({ law, times: 2 })
    return { ...setup, demand: { ...setup.demand, laneShares: { high: 0, normal: 1, low: 0 } } }
  }

  it('leaves next to nothing in time at twice what is carried, where every door is open', () => {
    const { goodput } = simulate(normalOnly(LAWS.none.make))
    expect(goodput).toBeLessThan(0.2)
  })

  it.each([2, 3, 5])('leaves 0.95 of what is carried at %i times, at Pelton`s doors', (times) => {
    const { goodput, wasted } = simulate(setupOf({ times }))
    expect(goodput).toBeGreaterThan(0.95)
    expect(wasted).toBeLessThan(0.05)
  })

  it.each([
    [2, 1],
    [10, 2],
  ])('of one hot source leaves the others alone, at %i doors of %i workers', (doors, workers) => {
    const setup = setupOf({ shape: 'hot-key', seconds: 20, doors, workers })
    // What is refused of lane `low` is refused for its lane.
    const laneShares = { high: 0.2, normal: 0.8, low: 0 }
    const { goodput, groups } = simulate({ ...setup, demand: { ...setup.demand, laneShares } })
    expect(goodput).toBeGreaterThan(0.95)
    // Of 20 s one hundredth is the moment until the hot one is known.
    expect(groups.others.refusals / groups.others.sent).toBeLessThan(0.01)
    expect(groups.others.inTime / groups.others.sent).toBeGreaterThan(0.99)
  })

  it('is over within a second of the load', () => {
    expect(simulate(setupOf({})).recoverySeconds).toBeLessThanOrEqual(1)
  })

  it('carries what a large fleet can before each of its workers has spoken', () => {
    const { goodput } = simulate(setupOf({ workers: 200, model: HEAVY, doors: 2, times: 0.9, seconds: 2 }))
    expect(goodput).toBeGreaterThan(0.9)
  })

  it('closes its account at every shape, and by every law', () => {
    for (const shape of SHAPES)
      for (const { make } of Object.values(LAWS)) {
        const wish = { shape, law: make, seconds: 1, workers: 1 }
        expect(() => simulate(setupOf(wish))).not.toThrow()
      }
  })

  it('accounts for what the stream refuses', () => {
    const setup = setupOf({ law: LAWS.none.make })
    const account = simulate({ ...setup, pool: { ...setup.pool, mostOfLane: 100 } })
    expect(account.refusedBy['stream-full']).toBeGreaterThan(0)
  })

  it('is the same run at the same seed, and another at another', () => {
    const of = (seed: number) => JSON.stringify(simulate(setupOf({ shape: 'retry-storm', seed, seconds: 1 })))
    expect(of(7)).toBe(of(7))
    expect(of(7)).not.toBe(of(8))
  })

  it('brings the same load to every law', () => {
    const sent = (law: Setup['law']) =>
      simulate(setupOf({ law, seconds: 1 })).slices.map((slice) => slice.sent)
    expect(sent(LAWS.none.make)).toEqual(sent(LAWS.gate.make))
  })

  it('serves more clients that come back when they were told to than clients that leave', () => {
    const served = (clients: Setup['demand']['clients']): number => {
      const setup = setupOf({ times: 1.5 })
      const { clients: all, succeeded } = simulate({ ...setup, demand: { ...setup.demand, clients } })
      return succeeded / all
    }
    expect(served('obey')).toBeGreaterThan(served('leave'))
  })
})
