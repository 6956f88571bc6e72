import { describe, expect, it, test } from 'vitest'
import { createNames, PLAIN_NAMES } from '../contract/names.ts'
import { namedRequest, plainAnswer } from './api-names.ts'

const names = createNames('staging')

describe('namedRequest', () => {
  test.each([
    ['STREAM.INFO.FEATURES', 'STREAM.INFO.staging-FEATURES'],
    ['STREAM.MSG.GET.RESULTS', 'STREAM.MSG.GET.staging-RESULTS'],
    ['STREAM.PURGE.KV_pelton-replays', 'STREAM.PURGE.KV_pelton-staging-replays'],
    ['STREAM.LEADER.STEPDOWN.LEDGER', 'STREAM.LEADER.STEPDOWN.staging-LEDGER'],
    ['CONSUMER.LIST.RETRIES', 'CONSUMER.LIST.staging-RETRIES'],
    ['CONSUMER.INFO.FEATURES.worker-default-high', 'CONSUMER.INFO.staging-FEATURES.worker-default-high'],
    ['CONSUMER.MSG.NEXT.LEDGER.reader', 'CONSUMER.MSG.NEXT.staging-LEDGER.reader'],
    [
      'CONSUMER.CREATE.FEATURES.worker-default-high.features.default.*.high',
      'CONSUMER.CREATE.staging-FEATURES.worker-default-high.staging.features.default.*.high',
    ],
    [
      'CONSUMER.CREATE.KV_pelton-models.follow.$KV.pelton-models.*.default.*',
      'CONSUMER.CREATE.KV_pelton-staging-models.follow.$KV.pelton-staging-models.*.default.*',
    ],
  ])('names the stream and the filter of %s', (plain, real) => {
    expect(namedRequest(names, { subject: plain, body: {} }).subject).toBe(real)
  })

  it.each(['STREAM.NAMES', 'STREAM.LIST'])('asks %s by a subject of the broker', (subject) => {
    const request = { subject, body: { subject: 'features.>', offset: 0 } }
    expect(namedRequest(names, request)).toEqual({
      subject,
      body: { subject: 'staging.features.>', offset: 0 },
    })
  })

  it.each(['INFO', 'STREAM.INFO.orders'])('leaves %s as it is', (subject) => {
    const request = { subject, body: { subject: 'features.>', name: 'FEATURES' } }
    expect(namedRequest(names, request)).toEqual(request)
  })

  it('names streams, subjects and filters in its body', () => {
    const body = {
      stream_name: 'FEATURES',
      config: {
        name: 'worker-default-high',
        filter_subject: 'features.default.*.high',
        filter_subjects: ['results.*.*', '$KV.pelton-starts.>'],
        ack_policy: 'none',
      },
      last_by_subj: 'deadletters.*.t',
      next_by_subj: '>',
      subjects_filter: 'due.>',
      filter: '$KV.pelton-starts.t',
      seq: 7,
    }
    expect(namedRequest(names, { subject: 'CONSUMER.CREATE.FEATURES', body }).body).toEqual({
      stream_name: 'staging-FEATURES',
      config: {
        name: 'worker-default-high',
        filter_subject: 'staging.features.default.*.high',
        filter_subjects: ['staging.results.*.*', '$KV.pelton-staging-starts.>'],
        ack_policy: 'none',
      },
      last_by_subj: 'staging.deadletters.*.t',
      next_by_subj: '>',
      subjects_filter: 'staging.due.>',
      filter: '$KV.pelton-staging-starts.t',
      seq: 7,
    })
  })

  it('changes nothing without a prefix', () => {
    const request = { subject: 'STREAM.INFO.FEATURES', body: { subjects_filter: 'due.>' } }
    expect(namedRequest(PLAIN_NAMES, request)).toEqual(request)
  })
})

describe('plainAnswer', () => {
  it('takes the prefix off where a stream, a subject or a filter is told', () => {
    const answer = {
      created: '2026-01-01T00:00:00Z',
      stream_name: 'staging-FEATURES',
      config: { name: 'staging-FEATURES', subjects: ['staging.features.*.*.high'], max_msgs: 7 },
      state: { messages: 2, deleted: [1], subjects: { 'staging.features.a.b.high': 2 } },
      message: { subject: 'staging.results.m.t', seq: 1, data: 'c3RhZ2luZy5h' },
      consumers: [{ name: 'worker-default-high', config: { filter_subject: 'staging.features.a.*.high' } }],
    }
    expect(plainAnswer(names, answer)).toEqual({
      created: '2026-01-01T00:00:00Z',
      stream_name: 'FEATURES',
      config: { name: 'FEATURES', subjects: ['features.*.*.high'], max_msgs: 7 },
      state: { messages: 2, deleted: [1], subjects: { 'features.a.b.high': 2 } },
      message: { subject: 'results.m.t', seq: 1, data: 'c3RhZ2luZy5h' },
      consumers: [{ name: 'worker-default-high', config: { filter_subject: 'features.a.*.high' } }],
    })
  })

  it.each([null, undefined, 7, 'FEATURES', []])('hands %j on', (answer) => {
    expect(plainAnswer(names, answer)).toEqual(answer)
  })
})
