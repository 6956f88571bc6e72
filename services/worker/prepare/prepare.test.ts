import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ModelRepository, openRepository } from '../../../shared/models/repository.ts'
import { type DeliveredEvent, deliveryOf, floats } from '../../../test/kit/deliveries.ts'
import { modelsFolder } from '../../../test/kit/models-folder.ts'
import { concludeLate } from './deadline.ts'
import { prepare } from './prepare.ts'
import { isConcluded, type Passed, type Prepared, rowsOf } from './prepared.ts'

const NOW = Date.parse('2026-06-01T12:00:00Z')
const MODEL = 'identity-fp32'
let folder: Awaited<ReturnType<typeof modelsFolder>>
let models: ModelRepository

beforeAll(async () => {
  folder = await modelsFolder([MODEL, 'free-columns', 'sum-rows'])
  models = await openRepository({ folder: folder.path })
  expect(models.refused).toEqual([])
})
afterAll(() => folder.remove())

const good = { model: MODEL, inputs: [floats('x', [[1, 2]])] }

/** What becomes of each event, in order: its kind and rows, or reason and stage of its dead letter. */
function fates(passed: Passed): string[] {
  return passed.map((event) => {
    if (!isConcluded(event)) return `${event.kind}, ${event.rows} rows`
    const { outcome } = event
    if ('why' in outcome) return `${outcome.kind}: ${outcome.why.cause}`
    return outcome.kind === 'predicted'
      ? outcome.kind
      : `${outcome.failure.reason} at ${outcome.failure.stage}`
  })
}

function ready(events: readonly DeliveredEvent[]): readonly Prepared[] {
  const passed = prepare(events.map(deliveryOf), models, NOW)
  return passed.map((event) => {
    if (isConcluded(event)) throw new Error(JSON.stringify(event.outcome))
    return event
  })
}

describe('prepare', () => {
  it('says of each event, in order, that it can run or why it ends: no bad one harms its neighbours', () => {
    const bad: [given: Partial<DeliveredEvent>, fate: string][] = [
      [{ headers: { 'Pelton-Contract': '2' } }, 'malformed at guard'],
      [{ headers: { 'ce-expirytime': 'soon' } }, 'malformed at guard'],
      [{ headers: { 'ce-expirytime': '2026-06-01T11:59:59Z' } }, 'deadline-exceeded at guard'],
      [{ model: 'nobody' }, 'unknown-model at guard'],
      [{ headers: { 'Pelton-Model-Version': '9' } }, 'unknown-model at guard'],
      [{ body: '{"inputs"' }, 'malformed at decode'],
      [{ inputs: [floats('y', [[1, 2]])] }, 'schema-mismatch at validate'],
      [{ inputs: [floats('x', [[1, 2, 3]])] }, 'schema-mismatch at validate'],
    ]
    const given = bad.flatMap(([each]) => [good, { ...good, ...each }])
    const deliveries = given.map(deliveryOf)
    const passed = prepare(deliveries, models, NOW)
    const [one] = ready([good])
    expect(fates(passed)).toEqual(bad.flatMap(([, fate]) => [`${one?.kind}, 1 rows`, fate]))
    expect(passed.map(({ delivery }) => delivery)).toEqual(deliveries)
  })

  it('reads nothing but the headers of an event that is late: neither its body nor its model', () => {
    const nothing = { find: () => expect.unreachable(), models: [] }
    const late = { 'ce-expirytime': '2026-06-01T11:59:59Z' }
    const structured = {
      specversion: '1.0',
      id: 's',
      source: 't',
      type: 't',
      expirytime: late['ce-expirytime'],
    }
    const deliveries = [
      { ...good, body: '{"inputs"', headers: late },
      { ...good, body: 'binary'.repeat(9), headers: { ...late, 'Inference-Header-Content-Length': '5' } },
      // Of an envelope the members are read, and of its data no more than where it ends.
      {
        model: MODEL,
        body: `${JSON.stringify(structured).slice(0, -1)},"data":{"inputs":{"inputs":{}}}}`,
        headers: { 'Content-Type': 'application/cloudevents+json' },
      },
    ].map(deliveryOf)
    expect(fates(prepare(deliveries, nothing, NOW))).toEqual(Array(3).fill('deadline-exceeded at guard'))
  })

  it('names the versions that are served where the wanted one is not', () => {
    const [passed] = prepare([deliveryOf({ ...good, headers: { 'Pelton-Model-Version': '9' } })], models, NOW)
    expect(passed).toMatchObject({
      outcome: { failure: { description: expect.stringContaining('Served: 1') } },
    })
  })

  it('gives events the same kind whose rows can share a model call, and counts rows', () => {
    const [one, three] = ready([
      good,
      {
        model: MODEL,
        inputs: [
          floats('x', [
            [1, 2],
            [3, 4],
            [5, 6],
          ]),
        ],
      },
    ])
    expect(three?.kind).toBe(one?.kind)
    expect([one?.rows, three?.rows]).toEqual([1, 3])
    expect(rowsOf([one as Prepared, three as Prepared])).toBe(4)
    expect(one?.maxBatchRows).toBe(64)
  })

  it('keeps apart what cannot share one: other models, other trailing shapes', () => {
    const kinds = ready([
      good,
      { model: 'free-columns', inputs: [floats('x', [[1, 2, 3]])] },
      { model: 'sum-rows', inputs: [floats('x', [[1, 2]])] },
    ]).map(({ kind }) => kind)
    expect(new Set(kinds).size).toBe(3)
  })

  it('lets events of a model that takes no batches run one by one', () => {
    const [event] = ready([{ model: 'sum-rows', inputs: [floats('x', [[1, 2]])] }])
    expect(event?.model.batchable).toBe(false)
    expect(event?.maxBatchRows).toBe(1)
  })
})

describe('concludeLate', () => {
  const expiring = (ms: number): DeliveredEvent => ({
    ...good,
    headers: { 'ce-expirytime': new Date(NOW + ms).toISOString() },
  })

  it('ends events whose deadline passed while they waited, and no other', () => {
    const batch = ready([good, expiring(50), expiring(5_000), expiring(100), good])
    const later = NOW + 100
    const passed = concludeLate(batch, later)
    expect(passed[0]).toBe(batch[0])
    expect(passed[2]).toBe(batch[2])
    expect(passed[4]).toBe(batch[4])
    expect(fates([passed[1], passed[3]] as Passed)).toEqual([
      'deadline-exceeded at batch',
      'deadline-exceeded at batch',
    ])
  })

  it('says how late an event is', () => {
    const [passed] = concludeLate(ready([expiring(50)]), NOW + 1_050)
    expect(passed).toMatchObject({
      outcome: {
        kind: 'dead-lettered',
        failure: {
          description: expect.stringContaining(
            'it was not started: its deadline passed 1.0 s before its turn',
          ),
        },
      },
    })
  })
})
