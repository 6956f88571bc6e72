import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MANIFEST_DEFAULTS } from '../../../shared/models/manifest-schema.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { closeBreaker, MOST_FAILURES } from '../../../shared/operations/models/breaker.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Reason } from '../../../shared/sdk/errors.ts'
import { deliveryOf } from '../../../test/kit/deliveries.ts'
import { poolRecords } from '../../../test/kit/pool-records.ts'
import type { Prepared } from '../prepare/prepared.ts'
import type { Concluded, Outcome } from '../settle/outcome.ts'
import { Breakers } from './breakers.ts'

type Delivery = Concluded['delivery']

const MODEL = 'fails'
const SERVED = {
  name: MODEL,
  version: '1',
  key: 'fails/1',
  manifest: MANIFEST_DEFAULTS,
} as unknown as ServedModel
const WHY = { cause: 'breaker', text: 'it fails', probeAt: 0 } as const

let pool: ReturnType<typeof poolRecords>
let now: number
let works: Promise<void>[]
let opened: Breakers[]

beforeEach(() => {
  pool = poolRecords()
  now = 1_000
  works = []
  opened = []
})
afterEach(() => {
  for (const breakers of opened) breakers.close()
})

/** The breakers of one worker of the pool, and what they tell. */
function open(worker = 'one') {
  const run: Delivery[] = []
  const held: Concluded[] = []
  const turns: (string | undefined)[] = []
  const troubles: string[] = []
  const breakers = new Breakers({
    worker,
    pool,
    models: {
      whyNot: (model) => (pool.find(model)?.breaker === undefined ? undefined : WHY),
      probing: { models: [SERVED], find: (name) => (name === MODEL ? SERVED : undefined) },
    },
    now: () => now,
    run: (deliveries) => run.push(...deliveries),
    hold: (events) => held.push(...events),
    own: (work) => void works.push(work()),
    onTurn: (_model, breaker) => turns.push(breaker?.cause),
    onTrouble: (model) => troubles.push(model),
  })
  opened.push(breakers)
  return { breakers, run, held, turns, troubles }
}

const delivery = (attempt = 1, model = MODEL): Delivery =>
  deliveryOf({ model, headers: { [HEADERS.attempt]: String(attempt) } })

function failed(of: Delivery, reason: Reason = 'inference-failed'): Concluded {
  const failure = { reason, description: 'index out of range', stage: 'infer' } as const
  return { delivery: of, outcome: { kind: 'retried', failure, dueAt: 0 } }
}

const predicted = (of: Delivery): Concluded => ({ delivery: of, outcome: { kind: 'predicted' } as Outcome })

const failures = (count: number, reason?: Reason, attempt?: number): Concluded[] =>
  Array.from({ length: count }, () => failed(delivery(attempt), reason))

const waiting = (count: number, model = MODEL): Concluded[] =>
  Array.from({ length: count }, () => ({
    delivery: delivery(1, model),
    outcome: { kind: 'not-servable', why: WHY },
  }))

const breakerOf = () => pool.find(MODEL)?.breaker

async function openedBy(breakers: Breakers): Promise<void> {
  await breakers.count(failures(MOST_FAILURES))
  expect(breakerOf()).toBeDefined()
}

describe('a breaker', () => {
  it('opens when a model failed on twenty events in a row, however they came', async () => {
    const { breakers, turns } = open()
    await breakers.count(failures(12))
    await breakers.count(failures(7, 'invalid-output'))
    expect(breakerOf()).toBeUndefined()
    await breakers.count(failures(30, 'timed-out'))
    expect(breakerOf()).toMatchObject({ since: 1_000, failures: 20, cause: 'index out of range', probes: 0 })
    expect(turns).toEqual(['index out of range'])
  })

  it('does not open while one of twenty succeeds', async () => {
    const { breakers } = open()
    for (let round = 0; round < 5; round++)
      await breakers.count([...failures(19), predicted(delivery()), ...failures(5, 'schema-mismatch')])
    expect(breakerOf()).toBeUndefined()
  })

  it('counts nothing that says nothing of the model, nor an event a second time', async () => {
    const { breakers } = open()
    const others: Reason[] = ['schema-mismatch', 'deadline-exceeded', 'too-large', 'worker-crashed', 'shed']
    for (const reason of others) await breakers.count(failures(MOST_FAILURES, reason))
    await breakers.count(failures(MOST_FAILURES, 'inference-failed', 2))
    const again = () => failed(deliveryOf({ model: MODEL, deliveryCount: 2 }))
    await breakers.count(Array.from({ length: MOST_FAILURES }, again))
    await breakers.count(waiting(MOST_FAILURES))
    expect(breakerOf()).toBeUndefined()
  })

  it('that cannot be recorded is tried again with the failures that follow', async () => {
    const { breakers, troubles } = open()
    pool.isReachable = false
    await breakers.count(failures(MOST_FAILURES))
    expect([breakerOf(), troubles]).toEqual([undefined, [MODEL]])
    pool.isReachable = true
    await openedBy(breakers)
  })

  it('is told of in every worker, open and closed; what was counted before says nothing then', async () => {
    const [one, two] = [open('one'), open('two')]
    await two.breakers.count(failures(MOST_FAILURES - 1))
    await openedBy(one.breakers)
    await pool.update(MODEL, closeBreaker)
    await two.breakers.count(failures(1))
    expect([one.turns, two.turns]).toEqual([
      ['index out of range', undefined],
      ['index out of range', undefined],
    ])
    expect(breakerOf()).toBeUndefined()
  })

  it('that is open keeps what waits for its run from being run', async () => {
    const { breakers } = open()
    const prepared = { delivery: delivery(), model: SERVED } as Prepared
    expect(breakers.hold([prepared])).toEqual([prepared])
    await openedBy(breakers)
    expect(breakers.hold([prepared, ...waiting(1)])).toMatchObject([
      { outcome: { kind: 'not-servable', why: WHY } },
      { outcome: { kind: 'not-servable', why: WHY } },
    ])
  })
})

describe('a probe', () => {
  /** Both workers know an open breaker whose probe is due. */
  async function dueStage() {
    const [one, two] = [open('one'), open('two')]
    await openedBy(one.breakers)
    now = 3_000
    return { one, two }
  }

  /** A worker gets events that wait, and has run those that probe. */
  async function probed({ breakers, run }: ReturnType<typeof open>, count: number): Promise<Delivery[]> {
    breakers.probe(waiting(count))
    await Promise.all(works.splice(0))
    return run.splice(0)
  }

  it('runs five of the events that come once it is due; the others wait', async () => {
    const { one } = await dueStage()
    now = 1_100
    expect(one.breakers.probe(waiting(7))).toHaveLength(7)
    now = 3_000
    expect(one.breakers.probe(waiting(7))).toHaveLength(2)
    await Promise.all(works.splice(0))
    expect(one.run).toHaveLength(5)
    const running = one.run.map((of) => ({ delivery: of, model: SERVED }) as Prepared)
    expect(one.breakers.hold(running)).toEqual(running)
    expect(one.breakers.probe(waiting(7))).toHaveLength(7)
  })

  it('is of one worker: what another would have probed with waits', async () => {
    const { one, two } = await dueStage()
    one.breakers.probe(waiting(1))
    two.breakers.probe(waiting(2))
    await Promise.all(works.splice(0))
    expect([one.run.length, one.held.length, two.run.length, two.held.length]).toEqual([1, 0, 0, 2])
  })

  it('that succeeds closes the breaker, with the first event it does not fail on', async () => {
    const { one } = await dueStage()
    const five = await probed(one, 5)
    await one.breakers.count(five.slice(0, 3).map((of) => failed(of)))
    expect(breakerOf()?.probing?.by).toBe('one')
    await one.breakers.count([predicted(five[3]!), failed(five[4]!)])
    expect([breakerOf(), one.turns.at(-1)]).toEqual([undefined, undefined])
  })

  it('is left for a second to what has just come: only then what was parked begins one', async () => {
    const { one } = await dueStage()
    const parked = waiting(3).map((event) => {
      const { info } = event.delivery
      return { ...event, delivery: { ...event.delivery, info: { ...info, stream: STREAMS.retries } } }
    })
    now = 2_500
    expect(one.breakers.probe(parked)).toHaveLength(3)
    now = 3_000
    expect(one.breakers.probe(parked)).toHaveLength(0)
    await Promise.all(works)
  })

  it('that fails opens it for longer, and another worker probes next', async () => {
    const { one, two } = await dueStage()
    await one.breakers.count((await probed(one, 5)).map((of) => failed(of)))
    expect(breakerOf()).toMatchObject({ since: 1_000, probes: 1, failures: 25 })
    expect(breakerOf()?.nextProbeAt).toBeGreaterThan(now + 1_000)
    now = 9_000
    await two.breakers.count((await probed(two, 1)).map(predicted))
    expect(breakerOf()).toBeUndefined()
  })

  it('of which nothing was run leaves it to the next', async () => {
    const { one, two } = await dueStage()
    for (const of of await probed(one, 2)) one.breakers.left(of)
    await Promise.all(works.splice(0))
    expect(breakerOf()).toMatchObject({ probes: 0 })
    expect(breakerOf()?.probing).toBeUndefined()
    expect(await probed(two, 2)).toHaveLength(2)
  })

  it('whose events do not come back is over in its time', async () => {
    const { one, two } = await dueStage()
    await probed(one, 5)
    now += MANIFEST_DEFAULTS.limits.timeoutMs
    expect(await probed(two, 5)).toEqual([])
    now += MANIFEST_DEFAULTS.limits.timeoutMs
    expect(await probed(two, 5)).toHaveLength(5)
  })

  it('of a worker that is gone is over at once, as that of a process of the same name before', async () => {
    const { one, two } = await dueStage()
    await probed(one, 5)
    expect(await probed(open('one'), 1)).toHaveLength(1)
    expect(await probed(two, 1)).toEqual([])
    pool.workers = ['two']
    expect(await probed(two, 1)).toHaveLength(1)
  })

  it('is left to workers that serve the model', async () => {
    const { one } = await dueStage()
    await pool.update('other', (record) => ({ ...record, breaker: breakerOf() }))
    expect(one.breakers.probe(waiting(3, 'other'))).toHaveLength(3)
  })

  it('that cannot be claimed has its events wait', async () => {
    const { one } = await dueStage()
    pool.isReachable = false
    await probed(one, 3)
    expect([one.held.length, one.troubles]).toEqual([3, [MODEL]])
  })
})
