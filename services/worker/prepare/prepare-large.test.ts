import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCodec } from '../../../shared/models/codec-threads.ts'
import { toTensors } from '../../../shared/models/event-reader.ts'
import { type ModelRepository, openRepository } from '../../../shared/models/repository.ts'
import { payloadDigest } from '../../../shared/sdk/contract/token.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { type DeliveredEvent, deliveryOf, EPOCH, floats } from '../../../test/kit/deliveries.ts'
import { modelsFolder } from '../../../test/kit/models-folder.ts'
import { type Delivery, digestOf } from '../intake/delivery.ts'
import { prepare } from './prepare.ts'
import { type LargeEventDeps, prepareLarge } from './prepare-large.ts'
import { isConcluded } from './prepared.ts'

const MODEL = 'identity-fp32'
const codec = createCodec({ threads: 1 })
let folder: Awaited<ReturnType<typeof modelsFolder>>
let models: ModelRepository

beforeAll(async () => {
  folder = await modelsFolder([MODEL])
  models = await openRepository({ folder: folder.path })
})
afterAll(async () => {
  await codec.close()
  await folder.remove()
})

/** A delivery of which only the headers are read, its body in a buffer of its own. */
function largeDelivery(given: DeliveredEvent): Delivery {
  const whole = deliveryOf(given)
  const headersOnly = { ...whole.event, body: new Uint8Array() }
  return { ...whole, isLarge: true, event: headersOnly, body: new Uint8Array(whole.body) }
}

/** What a worker holds, and what it was told. */
function hold(delivery: Delivery, deps: Partial<LargeEventDeps> = {}) {
  const log: string[] = []
  let held: Delivery | undefined = delivery
  const all: LargeEventDeps = {
    codec,
    models,
    epochs: new Map([['FEATURES', EPOCH]]),
    now: () => 0,
    held: {
      replace(old, now) {
        if (held !== old) return false
        held = now
        return true
      },
      giveBack: (back, delayMs) => void log.push(`give back ${back === held} ${delayMs}`),
    },
    onUnread: (_delivery, thrown) => void log.push(String(thrown)),
    ...deps,
  }
  const letGo = (): void => {
    held = undefined
  }
  return { deps: all, log, holds: () => held, letGo }
}

const ROWS = Array.from({ length: 4_000 }, (_, index) => [index, 0.5])
const good: DeliveredEvent = {
  model: MODEL,
  id: 'large',
  inputs: [floats('x', ROWS)],
  body: JSON.stringify({ inputs: [floats('x', ROWS)] }).padEnd(80_000),
}

describe('prepareLarge', () => {
  it('makes of a large event what the loop makes of a small one, in a run of its own', async () => {
    const delivery = largeDelivery(good)
    const { deps, holds } = hold(delivery)
    const prepared = await prepareLarge(delivery, deps)
    const [expected] = prepare([deliveryOf(good)], models, 0)
    if (prepared === undefined || expected === undefined || isConcluded(prepared) || isConcluded(expected))
      throw new Error('it was refused')
    expect(toTensors(prepared.inputs)[0]).toMatchObject({ ...toTensors(expected.inputs)[0] })
    expect(prepared).toMatchObject({ rows: 4_000, outputs: expected.outputs, maxBatchRows: 1 })
    expect(prepared.kind).not.toBe(expected.kind)
    expect(prepared.delivery).toBe(holds())
    const { event, body } = prepared.delivery
    expect(event.id).toBe('large')
    expect(event.body).toBe(body)
    expect(Buffer.from(body).toString()).toBe(good.body)
    expect(digestOf(prepared.delivery)).toBe(payloadDigest(body))
  })

  it.each<[string, Partial<DeliveredEvent>, string, string]>([
    ['an unknown model', { model: 'nobody' }, 'unknown-model', 'guard'],
    ['a late event', { headers: { 'ce-expirytime': '1969-01-01T00:00:00Z' } }, 'deadline-exceeded', 'guard'],
    ['no JSON', { body: '{'.padEnd(80_000) }, 'malformed', 'decode'],
    ['another shape', { body: JSON.stringify({ inputs: [] }).padEnd(80_000) }, 'schema-mismatch', 'validate'],
  ])('refuses %s with its whole body', async (_what, extra, reason, stage) => {
    const given = { ...good, ...extra }
    const delivery = largeDelivery(given)
    const { deps, holds } = hold(delivery)
    const refused = await prepareLarge(delivery, deps)
    expect(refused).toMatchObject({ outcome: { kind: 'dead-lettered', failure: { reason, stage } } })
    expect(refused?.delivery).toBe(holds())
    expect(Buffer.from(refused?.delivery.event.body ?? []).toString()).toBe(given.body)
    expect(refused?.delivery.digest).toBe(payloadDigest(Buffer.from(given.body ?? '')))
  })

  it('decodes nothing of a late event: its headers are read, and its digest is made', async () => {
    const late = largeDelivery({ ...good, headers: { 'ce-expirytime': '1969-01-01T00:00:00Z' } })
    const { deps } = hold(late, { codec: { read: codec.read, bind: () => expect.unreachable() } })
    expect(await prepareLarge(late, deps)).toMatchObject({
      outcome: { kind: 'dead-lettered', failure: { reason: 'deadline-exceeded', stage: 'guard' } },
    })
  })

  it('gives an event whose thread ends back, and after many deliveries up, with its body', async () => {
    const thrown = new PeltonError('internal', 'the thread ended')
    const ends = { read: codec.read, bind: () => Promise.reject(thrown) }
    const once = hold(largeDelivery(good))
    const delivery = once.holds() as Delivery
    expect(await prepareLarge(delivery, { ...once.deps, codec: ends })).toBeUndefined()
    expect(once.log).toEqual([String(thrown), 'give back true 5000'])
    const often = largeDelivery({ ...good, deliveryCount: 5 })
    const { deps, holds } = hold(often)
    const condemned = await prepareLarge(often, { ...deps, codec: ends })
    expect(condemned).toMatchObject({
      outcome: { kind: 'dead-lettered', failure: { reason: 'worker-crashed' } },
    })
    expect(condemned?.delivery).toBe(holds())
    expect(Buffer.from(condemned?.delivery.event.body ?? []).toString()).toBe(good.body)
  })

  it('says nothing of an event that was given back meanwhile', async () => {
    const delivery = largeDelivery(good)
    const { deps, letGo, log } = hold(delivery)
    const preparing = prepareLarge(delivery, deps)
    letGo()
    expect(await preparing).toBeUndefined()
    expect(log).toEqual([])
  })
})
