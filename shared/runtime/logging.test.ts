import { expect, it } from 'vitest'
import { createNames, PLAIN_NAMES } from '../sdk/contract/names.ts'
import { PeltonError } from '../sdk/errors.ts'
import { createLogger } from './logging.ts'

it('a log line is exact JSON, and nothing in it reaches a terminal as more than text', () => {
  const lines: string[] = []
  const log = createLogger('worker', 'info', PLAIN_NAMES, { write: (line) => void lines.push(line) })
  const name = '\u001b[2J\u009b31m\u202e\u2028\u007f\r\n\u200b'
  log.child({ worker: name }).warn({ model: name, err: new Error(name) }, name)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^[ -~]*\n$/)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'warn',
    worker: name,
    model: name,
    msg: name,
    err: { message: name },
  })
})

it('a line has the names of the broker for streams and buckets, and whatever else there is as it was', () => {
  const lines: string[] = []
  const names = createNames('staging')
  const log = createLogger('worker', 'info', names, { write: (line) => void lines.push(line) })
  const cause = new PeltonError('broker-unavailable', 'KV_pelton-models does not answer')
  const err = new PeltonError('stream-full', 'LEDGER is full', { remedy: 'Raise LEDGER.' }, cause)
  const facts = { model: 'LEDGER', eventId: 'RESULTS', stream: 'RETRIES', because: 'LEDGER is full', err }
  log.child({ worker: 'FEATURES' }).warn(facts, 'KV_pelton-models cannot be followed, nor staging-LEDGER')
  log.error('the record of model "FEATURES" in KV_pelton-models cannot be read')
  log.info(new Error('FEATURES')) // nobody knows what it names
  const [first, second, third] = lines.map((line) => JSON.parse(line))
  expect(first).toMatchObject({
    ...{ worker: 'FEATURES', model: 'LEDGER', eventId: 'RESULTS' },
    ...{ stream: 'staging-RETRIES', because: 'staging-LEDGER is full' },
    msg: 'KV_pelton-staging-models cannot be followed, nor staging-LEDGER',
    err: {
      code: 'stream-full',
      message: expect.stringMatching(/^stream-full: staging-LEDGER is full\. Raise staging-LEDGER\./),
      stack: expect.stringContaining('logging.test.ts'),
    },
  })
  expect(first.err.message + first.err.stack).toContain('KV_pelton-staging-models does not answer')
  expect(first.err.message + first.err.stack).not.toMatch(/(?<!staging-)LEDGER|KV_pelton-models/)
  expect(second.msg).toBe('the record of model "FEATURES" in KV_pelton-staging-models cannot be read')
  expect(third.msg).toBe('FEATURES')
})
