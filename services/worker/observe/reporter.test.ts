import pino from 'pino'
import { expect, it } from 'vitest'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { createNames } from '../../../shared/sdk/contract/names.ts'
import type { Reason } from '../../../shared/sdk/errors.ts'
import { deliveryOf } from '../../../test/kit/deliveries.ts'
import type { ShedCause } from '../settle/outcome.ts'
import { Reporter } from './reporter.ts'

it('tells of each ignored feature once for a model, and of no more than a hundred of them', () => {
  const lines: { readonly model: string; readonly feature: string }[] = []
  const reporter = new Reporter(pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) }))
  const model = (name: string): ServedModel => ({ name, version: '1', key: `${name}/1` }) as ServedModel
  for (let index = 0; index < 500; index++) {
    reporter.ignored(model('a'), { count: 2, names: ['new', `made-up-${index}`] })
  }
  reporter.ignored(model('b'), { count: 1, names: ['new'] })
  const told = lines.map(({ model: name, feature }) => `${name} ${feature}`)
  expect(told.slice(0, 3)).toEqual(['a new', 'a made-up-0', 'a made-up-1'])
  expect(told).toHaveLength(101)
  expect(told.at(-1)).toBe('b new')
})

it('counts what ended because of its deadline: expired, given up early, and predicted too late', () => {
  const reporter = new Reporter(pino({ level: 'silent' }))
  const ended = (reason: Reason, shed?: ShedCause): void => {
    const failure = { reason, description: 'why', stage: 'batch' } as const
    const outcome = { kind: 'dead-lettered', failure, ...(shed !== undefined && { shed }) } as const
    reporter.settled({ delivery: deliveryOf({ model: 'm' }), outcome, how: 'dead-lettered' })
  }
  ended('deadline-exceeded')
  ended('shed', 'predicted')
  ended('shed', 'codel')
  ended('malformed')
  reporter.missed(deliveryOf({ model: 'm' }))
  expect(reporter.counts).toMatchObject({ 'dead-lettered': 4, expired: 1, shed: 2, missed: 1 })
})

it('names streams that refuse or are nearly full as the broker has them', () => {
  const lines: Readonly<Record<string, unknown>>[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
  const reporter = new Reporter(log, undefined, createNames('staging'))
  reporter.storage(new Map([['DEADLETTERS', 'full']]))
  reporter.ledger('80 % of its bound is used')
  reporter.ledger(undefined)
  expect(lines.map(({ refusing, stream }) => refusing ?? stream)).toEqual([
    { 'staging-DEADLETTERS': 'full' },
    'staging-LEDGER',
    'staging-LEDGER',
  ])
  reporter.close()
})
