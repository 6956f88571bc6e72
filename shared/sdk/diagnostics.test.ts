import { channel, tracingChannel } from 'node:diagnostics_channel'
import { afterEach, describe, expect, it } from 'vitest'
import { CHANNELS, type PublishTrace, tellHandedOver, tellSettled, tracePublish } from './diagnostics.ts'
import type { EventToPublish } from './event-message.ts'
import type { StoredResult } from './result.ts'

const event: EventToPublish = { model: 'm', id: 'a', features: { x: 1 }, traceparent: 'own' }
const given = { event, pool: 'default', source: 'test', by: 'producer' as const }
const receipt = { token: 't', id: 'a', sequence: 1, duplicate: false, tries: 1 }
const stops: (() => void)[] = []

afterEach(() => {
  for (const stop of stops.splice(0)) stop()
})

function listen(
  told: [string, PublishTrace][],
  onStart: (trace: PublishTrace) => void = () => undefined,
): void {
  const publishing = tracingChannel<unknown, PublishTrace>(CHANNELS.publish)
  const subscribers = {
    start: (trace: PublishTrace) => {
      told.push(['start', trace])
      onStart(trace)
    },
    end: () => undefined,
    asyncStart: () => undefined,
    asyncEnd: (trace: PublishTrace) => void told.push(['asyncEnd', trace]),
    error: (trace: PublishTrace) => void told.push(['error', trace]),
  }
  publishing.subscribe(subscribers)
  stops.push(() => publishing.unsubscribe(subscribers))
}

describe('tracePublish', () => {
  it('hands the very same event on while nobody listens', async () => {
    let published: EventToPublish | undefined
    await tracePublish(given, async (sent) => {
      published = sent
      return receipt
    })
    expect(published).toBe(event)
  })

  it('sends the place in the trace that a listener wrote at its start', async () => {
    const told: [string, PublishTrace][] = []
    listen(told, (trace) => {
      trace.traceparent = 'theirs'
      trace.tracestate = 'k=v'
    })
    const stored = await tracePublish(given, async (sent) => {
      expect(sent).toEqual({ ...event, traceparent: 'theirs', tracestate: 'k=v' })
      return receipt
    })
    expect(stored).toBe(receipt)
    expect(told.map(([what]) => what)).toEqual(['start', 'asyncEnd'])
    expect(told[1]?.[1]).toMatchObject({ ...given, result: receipt })
  })

  it('leaves the place of the caller where a listener wrote none', async () => {
    listen([])
    await tracePublish(given, async (sent) => {
      expect(sent.traceparent).toBe('own')
      return receipt
    })
  })

  it('tells what went wrong, and throws it', async () => {
    const told: [string, PublishTrace][] = []
    listen(told)
    const error = new Error('full')
    await expect(tracePublish(given, () => Promise.reject(error))).rejects.toBe(error)
    expect(told.map(([what]) => what)).toEqual(['start', 'error', 'asyncEnd'])
    expect(told.at(-1)?.[1].error).toBe(error)
  })

  it('tells what was refused before anything was sent in the same way', async () => {
    const told: [string, PublishTrace][] = []
    listen(told)
    const error = new Error('no such lane')
    const refuse = (): never => {
      throw error
    }
    await expect(tracePublish(given, refuse)).rejects.toBe(error)
    expect(told.map(([what]) => what)).toEqual(['start', 'error', 'asyncEnd'])
    expect(told.at(-1)?.[1].error).toBe(error)
  })
})

describe('results', () => {
  it('are told when they are handed over and when they are settled', () => {
    const told: unknown[] = []
    const onTold = (message: unknown, name: string | symbol): void => void told.push([name, message])
    for (const name of [CHANNELS.result, CHANNELS.settled]) {
      channel(name).subscribe(onTold)
      stops.push(() => void channel(name).unsubscribe(onTold))
    }
    const result = { kind: 'failure' } as StoredResult
    tellHandedOver(result)
    tellSettled(result, 'ack')
    expect(told).toEqual([
      [CHANNELS.result, { result }],
      [CHANNELS.settled, { result, how: 'ack' }],
    ])
  })
})
