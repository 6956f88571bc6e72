import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { openOutbox } from '../../shared/sdk/outbox.ts'
import { createProducer, type Producer, type Receipt } from '../../shared/sdk/producer.ts'
import type { ProducerOptions } from '../../shared/sdk/producer-settings.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { type ProducerProcess, startProducerProcess } from './kit/producer-process.ts'
import { EVENTS, IS_FULL, openStage, type Stage, type StagedEvent } from './kit/stage.ts'
import { flightEvents } from './kit/stage-events.ts'

const TIMES = IS_FULL ? 12 : 3

afterAll(closeBareModels)

async function outboxFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'pelton-faults-outbox-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

async function produce(stage: Stage, options: Partial<ProducerOptions>): Promise<Producer> {
  const producer = await createProducer({ url: stage.broker.url, source: 'faults', ...options })
  onTestFinished(() => producer.close({ timeoutMs: 1 }).catch(() => undefined))
  return producer
}

/** Kills the process several times while a feed runs through it, each time in the middle of a burst. @returns events it was killed over */
async function killInTurns(process: ProducerProcess, stage: Stage, share: (s: number) => Promise<void>) {
  let unconfirmed = 0
  for (let time = 1; time <= TIMES; time++) {
    await share((time - 0.5) / (TIMES + 1))
    unconfirmed += await process.kill()
    stage.faultEnded()
  }
  return unconfirmed
}

describe('a producer process', () => {
  test.each([
    ['with an outbox', true],
    ['without', false],
  ])('killed between publish and acknowledgement, %s', async (how, hasOutbox) => {
    const stage = await openStage(`producer: kill -9 under load, ${how}`, { events: [] })
    const where = { url: stage.broker.url, source: 'killed' }
    const process = startProducerProcess(hasOutbox ? { ...where, path: await outboxFolder() } : where)
    onTestFinished(() => process.stop())
    const feed = stage.addFeed(await flightEvents(EVENTS), { producer: process, source: 'killed' })
    const publishing = feed.run({ burst: EVENTS / 10, everyMs: 500 })
    const unconfirmed = await killInTurns(process, stage, feed.reached)
    await publishing
    await feed.done
    await process.close()
    expect(unconfirmed).toBeGreaterThan(0)
    await stage.conclude({ note: `${TIMES} times, over ${unconfirmed} unconfirmed publishes` })
  })
})

describe('an event published again and again', () => {
  test('at once, and after the duplicate window, has one outcome', async () => {
    const windowMs = EVENTS > 5_000 ? 10_000 : 1_000 // more than copies can lie apart
    const producer = { ackTimeoutMs: 60_000 } // no copies but those made here
    const stage = await openStage('producer: every event five times', { events: [], producer })
    const { config } = await requestApi<{ config: object }>(
      stage.connection,
      `STREAM.INFO.${STREAMS.features}`,
    )
    await requestApi(stage.connection, `STREAM.UPDATE.${STREAMS.features}`, {
      ...config,
      duplicate_window: windowMs * 1e6,
    })
    const receipts: Receipt[] = []
    const other = await produce(stage, { ...producer, name: 'another producer of the same source' })
    const threefold = {
      publish: async (event: StagedEvent): Promise<Receipt> => {
        const all = await Promise.all(
          [stage.producer, other, stage.producer].map((one) => one.publish(event)),
        )
        receipts.push(...all)
        return all[0] as Receipt
      },
    }
    const events = await flightEvents(EVENTS)
    const first = stage.addFeed(events, { producer: threefold })
    await first.run({ perSecond: EVENTS / 6 })
    await first.done
    const absorbed = receipts.filter(({ duplicate }) => duplicate).length
    expect(absorbed).toBe(2 * EVENTS)
    await sleep(2 * windowMs)
    const again = (await Promise.all(events.map((event) => stage.producer.publish(event)))).filter(
      ({ duplicate }) => !duplicate,
    ).length
    await sleep(2 * windowMs)
    const oneByOne = await Promise.all(events.map((event) => other.publish(event)))
    const stored = again + oneByOne.filter(({ duplicate }) => !duplicate).length
    expect(stored).toBe(2 * EVENTS) // the window had passed: only the register absorbs these
    await stage.conclude({ note: `${absorbed} copies absorbed by the stream, ${stored} by the register` })
  })
})

describe('two sources', () => {
  test('that use the same ids are both answered, each with its own value', async () => {
    const stage = await openStage('producer: two sources, same ids', { events: [] })
    const flights = await flightEvents(EVENTS)
    const ids = flights.slice(0, EVENTS / 2).map(({ id }) => id)
    const mine = flights.slice(0, EVENTS / 2)
    const yours = flights.slice(EVENTS / 2).map((event, index) => ({ ...event, id: ids[index] ?? event.id }))
    const other = await produce(stage, { source: 'other gate' })
    const feeds = [stage.addFeed(mine), stage.addFeed(yours, { producer: other, source: 'other gate' })]
    await Promise.all(feeds.map((feed) => feed.run({ perSecond: EVENTS / 4 })))
    const { predictions } = await stage.conclude({ note: `${ids.length} ids, twice each` })
    expect(predictions).toBe(mine.length + yours.length)
    expect(new Set(feeds.flatMap(({ sent }) => [...sent.keys()])).size).toBe(mine.length + yours.length)
  })
})

describe('a full stream', () => {
  test('refuses the producer, which waits and goes on: told at once, patient, and with an outbox', async () => {
    const topology = { featuresMaxMessages: 100 }
    const stage = await openStage('producer: FEATURES full', { events: [], topology, workers: 2 })
    const flights = await flightEvents(EVENTS)
    const third = Math.ceil(EVENTS / 3)
    const patient = await produce(stage, { source: 'patient', fullRetryMs: 600_000 })
    const outbox = await openOutbox({ path: await outboxFolder(), url: stage.broker.url, source: 'outbox' })
    onTestFinished(() => outbox.close())
    const keeping = {
      publish: async (event: StagedEvent): Promise<Receipt> => {
        const { id, token, position } = await outbox.publish(event)
        return { id, token, sequence: position, duplicate: false, tries: 1 }
      },
    }
    const told = stage.addFeed(flights.slice(0, third))
    const waiting = stage.addFeed(flights.slice(third, 2 * third), {
      producer: patient,
      source: 'patient',
    })
    const kept = stage.addFeed(flights.slice(2 * third), { producer: keeping, source: 'outbox' })
    await Promise.all([told, waiting, kept].map((feed) => feed.run({ burst: 250, everyMs: 100 })))
    await kept.done
    const inOutbox = (await outbox.stats()).waiting
    await Promise.all([told.done, waiting.done, outbox.flush({ timeoutMs: 600_000 })])
    const refused = told.refusals.get('stream-full') ?? 0
    expect(refused).toBeGreaterThan(0)
    expect(waiting.refusals.size).toBe(0)
    await stage.conclude({ note: `${refused} refusals told; ${inOutbox} events waited in the outbox` })
  })
})
