import { pino } from 'pino'
import { expect, it } from 'vitest'
import { readEvent } from '../../../shared/sdk/contract/event.ts'
import type { Delivery } from '../intake/delivery.ts'
import { Reporter } from './reporter.ts'

it('what events cause is ten lines of a kind and a count, with names cut short', () => {
  const lines: Readonly<Record<string, unknown>>[] = []
  const reporter = new Reporter(pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }))
  for (let index = 0; index < 10_000; index++) {
    const event = readEvent({
      subject: `features.default.made-up-${index}.normal`,
      headers: new Map([['ce-id', `${index}-${'x'.repeat(900)}`]]),
      body: Buffer.from('{}'),
      stream: 'FEATURES',
      epoch: '2026-01-31T12:00:00Z',
      sequence: index + 1,
    })
    reporter.conflict({ event } as Delivery)
  }
  expect(lines).toHaveLength(10)
  expect(lines[9]).toMatchObject({ model: 'made-up-9', eventId: `9-${'x'.repeat(125)}…` })
  reporter.close()
  expect(lines.slice(10)).toMatchObject([
    { count: 9_990, msg: 'not told one by one: the same id was used with another payload' },
  ])
  expect(reporter.counts.conflicts).toBe(10_000)
})
