import { describe, expect, it } from 'vitest'
import { LANES } from './subjects.ts'
import { COPY_HEADROOM_BYTES, consumerSpecs, DEFAULT_TOPOLOGY, STREAMS, streamSpecs } from './topology.ts'

const MAX_PAYLOAD = 1024 * 1024
const options = {
  ...DEFAULT_TOPOLOGY,
  replicas: 3,
  featuresMaxMessages: 10,
  resultsMaxAgeMs: 5_000,
  ackWaitMs: 250,
}
const specs = streamSpecs(options, MAX_PAYLOAD)

function spec(name: string) {
  const found = specs.find((candidate) => candidate.name === name)
  if (found === undefined) throw new Error(`no stream ${name}`)
  return found
}

describe('streamSpecs', () => {
  it('has every stream of the contract once, on disk, with the replicas asked for', () => {
    const names = specs.map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(Object.values(STREAMS)))
    expect(names).toHaveLength(new Set(names).size)
    expect(specs.every(({ storage, num_replicas }) => storage === 'file' && num_replicas === 3)).toBe(true)
  })

  it('bounds events in number, bytes, per subject and in size, and refuses beyond', () => {
    expect(spec('FEATURES')).toMatchObject({
      subjects: LANES.map((lane) => `features.*.*.${lane}`),
      retention: 'workqueue',
      discard: 'new',
      max_msgs: 10,
      max_bytes: DEFAULT_TOPOLOGY.featuresMaxBytes,
      max_msgs_per_subject: 5,
      discard_new_per_subject: true,
      max_msg_size: MAX_PAYLOAD - COPY_HEADROOM_BYTES,
      duplicate_window: 30_000_000_000,
    })
    expect(spec('FEATURES').max_age).toBeUndefined()
  })

  it.each([
    [1, 1],
    [2, 1],
    [5, 2],
    [100_000, 50_000],
    [1_000_000, 500_000],
    [50_000_000, 500_000],
  ])('of %i events leaves one model and lane %i, where nobody said how many', (featuresMaxMessages, most) => {
    const [features] = streamSpecs({ ...DEFAULT_TOPOLOGY, featuresMaxMessages }, MAX_PAYLOAD)
    expect(features).toMatchObject({ max_msgs: featuresMaxMessages, max_msgs_per_subject: most })
  })

  it('takes a bound for each model that is below 60 % of all, and no other', () => {
    const bound = (featuresMaxPerSubject: number) =>
      streamSpecs({ ...options, featuresMaxMessages: 100, featuresMaxPerSubject }, MAX_PAYLOAD)[0]
    expect(bound(59)).toMatchObject({ max_msgs_per_subject: 59 })
    expect(() => bound(60)).toThrow(
      expect.objectContaining({
        code: 'invalid-configuration',
        details: {
          ...{ field: 'PELTON_FEATURES_MAX_PER_SUBJECT', value: '60' },
          remedy: expect.stringContaining('Set it to 59 or less'),
        },
      }),
    )
  })

  it('takes a bound of one also where all is so little that 60 % of it is less', () => {
    const bound = (featuresMaxMessages: number, featuresMaxPerSubject: number) =>
      streamSpecs({ ...options, featuresMaxMessages, featuresMaxPerSubject }, MAX_PAYLOAD)[0]
    expect(bound(1, 1)).toMatchObject({ max_msgs_per_subject: 1 })
    for (const all of [1, 2])
      expect(() => bound(all, 2)).toThrow(
        expect.objectContaining({
          details: expect.objectContaining({ remedy: expect.stringContaining('Set it to 1 or less') }),
        }),
      )
  })

  it('lets schedules live in a stream of their own, because they exclude discarding the new', () => {
    expect(spec('RETRIES')).toMatchObject({ retention: 'workqueue', allow_msg_schedules: true })
    expect(spec('RETRIES').discard).not.toBe('new')
    expect(specs.filter(({ allow_msg_schedules }) => allow_msg_schedules)).toHaveLength(1)
  })

  it('keeps results by age and number, and one dead letter of each event for ever', () => {
    expect(spec('RESULTS')).toMatchObject({ discard: 'old', max_age: 5_000_000_000, max_msgs: 5_000_000 })
    expect(spec('DEADLETTERS')).toMatchObject({
      discard: 'new',
      max_msgs_per_subject: 1,
      retention: 'limits',
    })
    expect(spec('DEADLETTERS').max_age).toBeUndefined()
  })

  it('keeps the ledger longer than the results it accounts for', () => {
    const [ledger, results] = ['LEDGER', 'RESULTS'].map(
      (name) =>
        streamSpecs(DEFAULT_TOPOLOGY, MAX_PAYLOAD).find((candidate) => candidate.name === name)?.max_age ?? 0,
    )
    expect(ledger).toBeGreaterThan(results as number)
  })

  it('drops no record of the ledger for want of room', () => {
    expect(spec('LEDGER')).toMatchObject({ discard: 'new', max_bytes: DEFAULT_TOPOLOGY.ledgerMaxBytes })
  })

  it('gives each root of a subject to one stream', () => {
    const owners = new Map<string, Set<string>>()
    for (const { name, subjects } of specs.filter(({ name }) => !/^(?:KV|OBJ)_/.test(name))) {
      for (const subject of subjects) {
        const root = subject.split('.')[0] as string
        owners.set(root, (owners.get(root) ?? new Set()).add(name))
      }
    }
    expect(Object.fromEntries([...owners].map(([root, names]) => [root, [...names]]))).toEqual({
      features: ['FEATURES'],
      retries: ['RETRIES'],
      due: ['RETRIES'],
      results: ['RESULTS'],
      deadletters: ['DEADLETTERS'],
      ledger: ['LEDGER'],
      $JS: ['ADVISORIES'],
    })
  })

  it('refuses a broker whose messages are too small for an event and its copy', () => {
    expect(() => streamSpecs(DEFAULT_TOPOLOGY, COPY_HEADROOM_BYTES)).toThrow(
      expect.objectContaining({
        code: 'not-provisioned',
        details: expect.objectContaining({ field: 'max_payload' }),
      }),
    )
  })
})

describe('consumerSpecs', () => {
  it('has one consumer per lane and stream, each with a filter that never changes', () => {
    const consumers = consumerSpecs('my.pool', options)
    expect(
      consumers.map(({ stream, durable_name, filter_subject }) => [stream, durable_name, filter_subject]),
    ).toEqual([
      ['FEATURES', 'worker-my%2Epool-high', 'features.my%2Epool.*.high'],
      ['RETRIES', 'retry-my%2Epool-high', 'due.my%2Epool.*.high.*'],
      ['FEATURES', 'worker-my%2Epool-normal', 'features.my%2Epool.*.normal'],
      ['RETRIES', 'retry-my%2Epool-normal', 'due.my%2Epool.*.normal.*'],
      ['FEATURES', 'worker-my%2Epool-low', 'features.my%2Epool.*.low'],
      ['RETRIES', 'retry-my%2Epool-low', 'due.my%2Epool.*.low.*'],
    ])
  })

  it('never lets the broker count attempts', () => {
    for (const consumer of consumerSpecs('default', options)) {
      expect(consumer).toMatchObject({ ack_policy: 'explicit', max_deliver: -1, ack_wait: 250_000_000 })
      expect(consumer).not.toHaveProperty('backoff')
    }
  })
})
