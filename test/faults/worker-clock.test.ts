import { afterAll, describe, expect, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { readStream } from '../kit/outcomes.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { EVENTS, openStage, type StagedEvent } from './kit/stage.ts'
import { flightEvents } from './kit/stage-events.ts'
import { stageModels } from './kit/stage-models.ts'
import { WRONG_BY, wrongClock } from './kit/wrong-clock.ts'

afterAll(closeBareModels)

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const MODEL = 'gather'

/** An event for a table of four rows looked up at index - 1000; beyond it, each run fails and is retried. */
function lookup(id: string, index: number): StagedEvent {
  return {
    model: MODEL,
    id,
    inputs: [{ name: 'index', datatype: 'INT64', shape: [1], data: BigInt64Array.of(BigInt(index)) }],
  }
}

/** Flights with ten minutes to go and flights that are a minute late, events that fail, and events that do not. */
async function timedEvents(): Promise<StagedEvent[]> {
  const now = Date.now()
  const flights = (await flightEvents(EVENTS)).map((event, index) =>
    index % 100 === 99
      ? { ...event, id: `late-${index}`, expiresAt: new Date(now - MINUTE_MS) }
      : { ...event, expiresAt: new Date(now + 10 * MINUTE_MS) },
  )
  const failing = Array.from({ length: 10 }, (_, index) => lookup(`fails-${index}`, 7_000 + index))
  const fine = Array.from({ length: 10 }, (_, index) => lookup(`fine-${index}`, 1_000 + (index % 4)))
  return [...fine, ...failing, ...flights]
}

const endings = (id: string) => {
  if (id.startsWith('late')) return 'deadline-exceeded'
  return id.startsWith('fails') ? 'inference-failed' : 'prediction'
}

describe('workers whose clocks are wrong', () => {
  test.each([
    { name: 'an hour ahead', aheadMs: HOUR_MS },
    { name: 'two hours behind', aheadMs: -2 * HOUR_MS },
  ])('$name: deadlines and schedules go by the broker’s clock', async ({ name, aheadMs }) => {
    const stage = await openStage(`worker: clock ${name}`, {
      models: await stageModels({ [MODEL]: '' }),
      workers: 2,
      events: await timedEvents(),
      worker: () => ({ env: wrongClock(aheadMs) }),
    })
    const schedules = watchSchedules()
    stage.connection.subscribe('retries.>', {
      callback: (_error, { headers }) => schedules.note(headers?.get('Nats-Schedule')),
    })
    await stage.connection.flush()
    await stage.feed.run({ perSecond: EVENTS / 2 })
    await stage.conclude({ endings, note: WRONG_BY })
    // Somebody's clock was wrong indeed: the worker says so.
    const skews = stage.fleet.logLines().flatMap(({ skewMs }) => (typeof skewMs === 'number' ? [skewMs] : []))
    expect(skews.length).toBe(2)
    for (const skewMs of skews) expect(Math.abs(skewMs - aheadMs)).toBeLessThan(10 * MINUTE_MS)
    // Two retries each; each is due soon by the broker's clock, not an hour from now or two hours ago.
    expect(schedules.awayMs.length).toBeGreaterThanOrEqual(20)
    for (const awayMs of schedules.awayMs) expect(Math.abs(awayMs)).toBeLessThan(10 * MINUTE_MS)
    for (const { headers, storedAt } of await readStream(stage.connection, STREAMS.deadLetters)) {
      const failedAt = Date.parse(readHeader(headers, HEADERS.failedAt) ?? '')
      expect(Math.abs(failedAt - storedAt)).toBeLessThan(10 * MINUTE_MS)
    }
  })
})

/** How far from now each retry is scheduled, as they pass by. */
function watchSchedules() {
  const awayMs: number[] = []
  return {
    awayMs,
    note(schedule = ''): void {
      if (schedule.startsWith('@at ')) awayMs.push(Date.parse(schedule.slice('@at '.length)) - Date.now())
    },
  }
}
