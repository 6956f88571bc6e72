import { describe, expect, it } from 'vitest'
import { boundWishes, leastRetriesBytes } from '../contract/bounds.ts'
import { createNames, type Names, PLAIN_NAMES } from '../contract/names.ts'
import { consumerSpecs, DEFAULT_TOPOLOGY, streamSpecs, type TopologyOptions } from '../contract/topology.ts'
import { type Account, accountOf } from './account.ts'
import { namedConfig } from './api-names.ts'
import type { Found, FoundStream } from './provision-found.ts'
import { type Plan, planProvision } from './provision-plan.ts'

const MIB = 1024 ** 2
const GIB = 1024 ** 3
const MAX_PAYLOAD = MIB
const FREE = accountOf({}, 1)
const NOTHING: Found = { account: FREE, streams: new Map(), consumers: new Map(), overlaps: [] }

function plan(
  found: Partial<Found> = {},
  topology: Partial<TopologyOptions> = {},
  pools = ['default'],
  names: Names = PLAIN_NAMES,
): Plan {
  const options = { ...DEFAULT_TOPOLOGY, ...topology }
  const specs = streamSpecs(options, MAX_PAYLOAD)
  const consumers = pools.flatMap((pool) => consumerSpecs(pool, options))
  return planProvision({ specs, consumers, maxPayload: MAX_PAYLOAD, names }, { ...NOTHING, ...found })
}

const with_ = (limits: Partial<Account>): Partial<Found> => ({ account: { ...FREE, ...limits } })

function bytesOf({ streams }: Plan): Readonly<Record<string, number | undefined>> {
  return Object.fromEntries(streams.map(({ spec }) => [spec.name, spec.max_bytes]))
}

const said = ({ obstacles }: Plan): readonly string[] => obstacles.map(({ description }) => description)

/** As they would lie there once they were made. */
function present(topology: Partial<TopologyOptions> = {}): Pick<Found, 'streams' | 'consumers'> {
  const options = { ...DEFAULT_TOPOLOGY, ...topology }
  const streams = streamSpecs(options, MAX_PAYLOAD).map((spec): [string, FoundStream] => [
    spec.name,
    { config: { ...spec }, consumers: 0 },
  ])
  const consumers = consumerSpecs('default', options).map(({ stream: _of, ...config }) => config)
  return {
    streams: new Map(streams),
    consumers: new Map(consumers.map((config) => [config.durable_name, config])),
  }
}

describe('what is planned', () => {
  it('is everything where nothing is there, each with a line', () => {
    const { steps, obstacles } = plan()
    expect(obstacles).toEqual([])
    expect(steps).toHaveLength(12 + 6)
    expect(steps[0]).toBe(`would create stream FEATURES, max_bytes ${4 * GIB}`)
    expect(steps).toContain('would create stream RETRIES')
    expect(steps.at(-1)).toBe('would create consumer retry-default-low')
  })

  it('is nothing where all is there', () => {
    expect(plan(present())).toMatchObject({ steps: [], obstacles: [] })
  })

  it('is a change where a limit may grow', () => {
    expect(plan(present(), { featuresMaxMessages: 2_000_000 }).steps).toEqual([
      'would change stream FEATURES: max_msgs 1000000 → 2000000',
    ])
  })

  it('bounds FEATURES and LEDGER alone where no bound is wanted', () => {
    const { FEATURES, LEDGER, ...others } = bytesOf(plan())
    expect([FEATURES, LEDGER]).toEqual([4 * GIB, 32 * GIB])
    expect(Object.values(others).every((bytes) => bytes === undefined)).toBe(true)
  })

  it('bounds every stream and bucket where the account wants it, those that were set to what was set', () => {
    const bytes = bytesOf(
      plan(with_({ needsMaxBytes: true }), { retriesMaxBytes: GIB, bucketsMaxBytes: 32 * MIB }),
    )
    expect(bytes).toMatchObject({ FEATURES: 4 * GIB, RETRIES: GIB, 'KV_pelton-models': 32 * MIB })
    for (const [name, wish] of boundWishes(MAX_PAYLOAD))
      if (!/RETRIES|KV_/.test(name)) expect([name, bytes[name]]).toEqual([name, wish.bytes])
  })

  it('gives less where the account has less, and every stream what it works with', () => {
    const all = 20 * GIB
    const { streams, obstacles } = plan(with_({ needsMaxBytes: true, maxStorage: all }))
    expect(obstacles).toEqual([])
    expect(streams.reduce((sum, { spec }) => sum + (spec.max_bytes ?? 0), 0)).toBeLessThanOrEqual(all)
    for (const { spec, wish } of streams)
      if (wish !== undefined) expect(spec.max_bytes).toBeGreaterThanOrEqual(wish.least)
  })

  it('leaves a bound that was halved once as it is', () => {
    const made = present({ ledgerMaxBytes: 2 * GIB })
    expect(plan({ ...made, ...with_({ maxStorage: 6 * GIB, reservedStorage: 6 * GIB }) })).toMatchObject({
      steps: [],
      obstacles: [],
    })
  })
})

describe('what is in the way', () => {
  it.each<[what: string, found: Partial<Found>, topology: Partial<TopologyOptions>, said: RegExp]>([
    [
      'few streams',
      with_({ maxStreams: 5, streams: 1 }),
      {},
      /allows 5 streams and has 1: Pelton needs 12 more.*max_streams = 5.*for 13 or more/,
    ],
    [
      'few consumers of a stream',
      with_({ maxConsumers: 2 }),
      {},
      /allows 2 consumers on one stream.*max_consumers = 2.*for 3 or more/,
    ],
    [
      'few events in flight',
      with_({ maxAckPending: 1_000 }),
      {},
      /not 20000.*max_ack_pending = 1000.*PELTON_MAX_ACK_PENDING \(--max-ack-pending\) to 1000/,
    ],
    [
      'small streams',
      with_({ maxStreamBytes: GIB }),
      {},
      /one stream: FEATURES needs 4294967296.*PELTON_FEATURES_MAX_BYTES \(--features-max-bytes\) to 1073741824/,
    ],
    [
      'streams too small for retries',
      with_({ maxStreamBytes: 32 * MIB, needsMaxBytes: true }),
      { featuresMaxBytes: 16 * MIB },
      /RETRIES needs 67108864.*operator of the account for 67108864/,
    ],
    [
      'little storage',
      with_({ maxStorage: GIB }),
      {},
      /max_storage = 1073741824.*PELTON_FEATURES_MAX_BYTES \(--features-max-bytes\) to 1056964608 or less/,
    ],
    [
      'a bound of RETRIES that leaves nothing to keep',
      {},
      { retriesMaxBytes: 63 * MIB },
      /keep it to a quarter.*PELTON_RETRIES_MAX_BYTES = 66060288.*to 67108864 or more/,
    ],
    [
      'no tier for so many copies',
      with_({ tier: 'R3', hasTier: false, tiers: ['R1'] }),
      { replicas: 3 },
      /num_replicas = R3.*PELTON_REPLICAS.*\(R1\)/,
    ],
    [
      'a foreign stream',
      {
        overlaps: ['high', 'low'].map((lane) => ({
          stream: 'FEATURES',
          subject: `features.*.*.${lane}`,
          by: 'ORDERS',
        })),
      },
      {},
      /stream ORDERS .* FEATURES needs.*features\.\*\.\*\.high, features\.\*\.\*\.low/,
    ],
  ])('is named where there are %s', (_what, found, topology, text) => {
    const planned = plan(found, topology)
    expect(said(planned)).toEqual([expect.stringMatching(text)])
    expect(planned.obstacles[0]?.code).toBe('not-provisioned')
  })

  it('is named all at once', () => {
    const { FEATURES: _own, ...others } = Object.fromEntries(present().streams)
    const other = { config: { subjects: ['results.*.*'], retention: 'interest' }, consumers: 0 }
    const foreign = { config: { subjects: ['x'] }, consumers: 0 }
    const planned = plan({
      ...with_({ maxAckPending: 10, maxStorage: GIB, maxStreamBytes: GIB }),
      streams: new Map([
        ...Object.entries(others).filter(([name]) => name !== 'LEDGER'),
        ['RESULTS', other],
        ['DEADLETTERS', foreign],
      ]),
    })
    expect(said(planned)).toHaveLength(5)
    expect(said(planned).join('\n')).toMatch(
      /RESULTS differs.*none of Pelton's has the name DEADLETTERS.*in flight.*one stream.*storage/s,
    )
  })

  describe('of a Pelton with a prefix', () => {
    const names = createNames('staging')
    const [features] = streamSpecs(DEFAULT_TOPOLOGY, MAX_PAYLOAD)
    /** All of it is there, but FEATURES with these subjects. */
    const withSubjects = (subjects: readonly string[]): Plan => {
      const { streams, consumers } = present()
      const named = [...streams].map(([name, { config, ...rest }]): [string, FoundStream] => {
        const own = namedConfig(names, config)
        return [name, { ...rest, config: name === 'FEATURES' ? { ...own, subjects } : own }]
      })
      const ofBroker = [...consumers].map(([name, config]) => [name, namedConfig(names, config)] as const)
      return plan({ streams: new Map(named), consumers: new Map(ofBroker) }, {}, ['default'], names)
    }

    it('is nothing where all is there by its names at the broker', () => {
      const own = (features?.subjects ?? []).map(names.subject)
      expect(withSubjects(own)).toMatchObject({ steps: [], obstacles: [] })
    })

    it.each([
      ['are those of the Pelton without', features?.subjects ?? []],
      ['look like its own', ['staging.orders.>', 'orders.>']],
    ])('is a foreign stream whose subjects %s, and names them as they are', (_what, subjects) => {
      const [refused] = withSubjects(subjects).obstacles
      expect(refused?.description).toContain("none of Pelton's has the name staging-FEATURES")
      expect(refused?.details).toMatchObject({ field: 'subjects', value: subjects.join(', ') })
    })

    it('is a foreign stream by its own name, also where one of Pelton without a prefix has it', () => {
      const overlap = { stream: 'RESULTS', subject: 'staging.results.*.*' }
      const overlaps = ['RESULTS', 'ORDERS'].map((by) => ({ ...overlap, by }))
      expect(said(plan({ overlaps }, {}, ['default'], names)).map(names.text)).toEqual([
        expect.stringMatching(/^stream "RESULTS" .* staging-RESULTS needs.*`nats stream edit "RESULTS"`/),
        expect.stringMatching(/^stream ORDERS .* staging-RESULTS needs.*`nats stream edit ORDERS`/),
      ])
      expect(said(plan({ overlaps }))[0]).toMatch(/^stream RESULTS of this account/)
    })

    it('is a stream that takes some of its subjects, and others', () => {
      const [own = '', ...others] = features?.subjects ?? []
      const [refused] = withSubjects([names.subject(own), ...others]).obstacles
      expect(refused?.details).toMatchObject({
        field: 'subjects',
        value: expect.stringContaining(`"${others[0]}"`),
      })
    })
  })

  it('is nothing where settings fit the account', () => {
    const tight = { maxStreams: 12, maxConsumers: 3, maxAckPending: 1_000, maxStreamBytes: 256 * MIB }
    const found = with_({ ...tight, maxStorage: GIB, needsMaxBytes: true })
    expect(said(plan(found, { featuresMaxBytes: 128 * MIB, maxAckPending: 1_000 }))).toEqual([])
  })

  it('counts the consumers of others, and those of every pool that are missing', () => {
    const streams = new Map([
      ...present().streams,
      ['FEATURES', { config: { ...streamSpecs(DEFAULT_TOPOLOGY, MAX_PAYLOAD)[0] }, consumers: 4 }],
    ])
    const found = { ...present(), streams, ...with_({ maxConsumers: 6 }) } as Partial<Found>
    expect(said(plan(found))).toEqual([])
    expect(said(plan(found, {}, ['default', 'gpu']))).toEqual([expect.stringMatching(/for 7 or more/)])
  })

  it('counts every copy of a stream', () => {
    const account = { ...accountOf({ limits: { max_storage: 20 * GIB } }, 3) }
    expect(bytesOf(plan({ account }, { replicas: 3 })).LEDGER).toBe(2 * GIB)
    expect(said(plan({ account }, { replicas: 3, featuresMaxBytes: 7 * GIB }))[0]).toMatch(
      /each of them 3 times/,
    )
    // Those that are there count as often, those of others once.
    const made = present({ replicas: 3, ledgerMaxBytes: GIB })
    const foreign = { ...made, account: { ...account, reservedStorage: 5 * GIB + 2 * GIB } }
    const larger = { replicas: 3, ledgerMaxBytes: GIB }
    expect(said(plan(foreign, { ...larger, featuresMaxBytes: 5 * GIB }))).toEqual([])
    expect(said(plan(foreign, { ...larger, featuresMaxBytes: 6 * GIB }))).toEqual([
      expect.stringMatching(/of which 18253611008 are reserved.*2147483648 bytes more/),
    ])
  })

  it('works out what RETRIES needs by the largest message', () => {
    expect(leastRetriesBytes(8 * MIB)).toBe(512 * MIB)
    expect(boundWishes(8 * MIB).get('RETRIES')?.least).toBe(512 * MIB)
  })
})
