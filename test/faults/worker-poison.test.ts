import { afterAll, describe, expect, test } from 'vitest'
import type { TensorInput } from '../../shared/sdk/event-message.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { EVENTS, IS_FULL, openStage, type StagedEvent } from './kit/stage.ts'
import { stageModels } from './kit/stage-models.ts'

afterAll(closeBareModels)

/** By -1, its quotient is no INT64: the processor traps, and the process ends with SIGFPE. */
const SMALLEST = -(2n ** 63n)

/** An event for `divide-int64`: a / b. */
function division(id: string, a: bigint, b: bigint): StagedEvent {
  const input = (name: string, value: bigint): TensorInput => {
    return { name, datatype: 'INT64', shape: [1, 1], data: BigInt64Array.of(value) }
  }
  return { model: 'divide-int64', id, inputs: [input('a', a), input('b', b)] }
}

/** Divisions, with a poison among them at each of these places. */
function divisions(count: number, poisonAt: ReadonlySet<number>): StagedEvent[] {
  return Array.from({ length: count }, (_, index) =>
    poisonAt.has(index)
      ? division(`poison-${index}`, SMALLEST, -1n)
      : division(`good-${index}`, BigInt(index) - 300n, BigInt((index % 7) + 1)),
  )
}

const endings = (id: string) => (id.startsWith('poison') ? 'worker-crashed' : 'prediction')

describe('an event that ends its process each time it runs', () => {
  test('is dead-lettered as worker-crashed; the 999 others in flight are predicted', async () => {
    const stage = await openStage('event: ends its process, 1,000 in flight', {
      models: await stageModels({ 'divide-int64': '' }),
      workers: 2,
      events: divisions(1_000, new Set([500])),
      worker: () => ({ env: { PELTON_HELD_ROWS: '1024' } }),
    })
    await stage.feed.run('at once')
    await stage.feed.done
    stage.faultEnded()
    const { predictions, deadLetters, answersById } = await stage.conclude({
      endings,
      note: 'SIGFPE in a division',
    })
    expect([predictions, deadLetters]).toEqual([999, 1])
    const ended = [...answersById].map(([id, times]) => ({ id, ...times }))
    console.log(costOf(ended, stage.fleet.ends.length))
    expect(new Set(stage.fleet.ends)).toEqual(new Set(['SIGFPE']))
  })

  test.skipIf(!IS_FULL)('several among many [full form only: each costs several ack_waits]', async () => {
    const poison = new Set(Array.from({ length: 5 }, (_, index) => Math.floor(((index + 0.5) * EVENTS) / 5)))
    const stage = await openStage('event: ends its process, 5 among many', {
      models: await stageModels({ 'divide-int64': '' }),
      events: divisions(EVENTS, poison),
    })
    await stage.feed.run({ perSecond: EVENTS / 30 })
    stage.faultEnded()
    const { predictions } = await stage.conclude({ endings, note: 'SIGFPE in a division' })
    expect(predictions).toBe(EVENTS - poison.size)
  })
})

interface Ended {
  readonly id: string
  readonly acceptedAt: number
  readonly storedAt: number
}

/** What the poison cost, counted from the first event's acceptance. */
function costOf(events: readonly Ended[], processes: number): string {
  const began = Math.min(...events.map(({ acceptedAt }) => acceptedAt))
  const seconds = (of: readonly Ended[]): string =>
    ((Math.max(...of.map(({ storedAt }) => storedAt)) - began) / 1_000).toFixed(1)
  const others = events.filter(({ id }) => !id.startsWith('poison'))
  const poison = events.filter(({ id }) => id.startsWith('poison'))
  return `poison: ${processes} processes ended; all others answered after ${seconds(others)} s, the poison after ${seconds(poison)} s`
}
