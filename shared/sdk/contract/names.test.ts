import { describe, expect, it, test } from 'vitest'
import { HEADERS } from './headers.ts'
import { createNames, isPrefix, PLAIN_NAMES, plainStreamOf } from './names.ts'
import { subjects } from './subjects.ts'
import { consumerSpecs, DEFAULT_TOPOLOGY, STORES, STREAMS, streamSpecs } from './topology.ts'

const names = createNames('staging')
const token = 'k'.repeat(22)
const route = { pool: 'default', model: 'churn', lane: 'high' } as const
const specs = streamSpecs(DEFAULT_TOPOLOGY, 2 ** 20)

describe('a prefix', () => {
  test.each(['staging', 'a', 'A_1', '7', 'x'.repeat(32)])('may be %s', (prefix) => {
    expect(isPrefix(prefix)).toBe(true)
    expect(createNames(prefix).prefix).toBe(prefix)
  })

  test.each([
    ...['', '_a', 'a-b', 'a.b', 'a b', 'a*', '>', 'ä', 'x'.repeat(33), 'a\n'],
    ...['features', 'retries', 'due', 'results', 'deadletters', 'ledger', 'pelton'],
  ])('is refused: %j', (prefix) => {
    expect(isPrefix(prefix)).toBe(false)
    expect(() => createNames(prefix)).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        details: expect.objectContaining({ field: 'prefix' }),
      }),
    )
  })

  it('is refused as anything but text', () => {
    expect(() => createNames(7 as unknown as string)).toThrow(/prefix = 7/)
  })
})

describe('names without a prefix', () => {
  it('are those of the contract', () => {
    expect(createNames()).toBe(PLAIN_NAMES)
    for (const { name, subjects: all } of specs) {
      expect(PLAIN_NAMES.stream(name)).toBe(name)
      expect(all.map(PLAIN_NAMES.subject)).toEqual(all)
    }
    const entries = [[HEADERS.expectedStream, 'FEATURES']] as const
    expect(PLAIN_NAMES.headers(entries)).toBe(entries)
  })
})

describe('names with a prefix', () => {
  test.each([
    ['FEATURES', 'staging-FEATURES'],
    ['ADVISORIES', 'staging-ADVISORIES'],
    ['KV_pelton-models', 'KV_pelton-staging-models'],
    ['OBJ_pelton-artifacts', 'OBJ_pelton-staging-artifacts'],
    ['pelton-replays', 'pelton-staging-replays'],
  ])('call %s %s', (plain, real) => {
    expect(names.stream(plain)).toBe(real)
    expect(names.plainStream(real)).toBe(plain)
  })

  it.each(['orders', 'worker-default-high', 'other-FEATURES', 'KV_other'])('leave %s as it is', (name) => {
    expect(names.stream(name)).toBe(name)
    expect(names.plainStream(name)).toBe(name)
  })

  test.each([
    [subjects.feature(route), 'staging.features.default.churn.high'],
    [subjects.due(route, token), `staging.due.default.churn.high.${token}`],
    [subjects.result('churn', token), `staging.results.churn.${token}`],
    [subjects.ledger('default'), 'staging.ledger.default'],
    [subjects.startMark(token), `$KV.pelton-staging-starts.${token}`],
    [subjects.poolRecords('gpu'), '$KV.pelton-staging-models.*.gpu.*'],
    [subjects.auditFloor(), '$KV.pelton-staging-models.audit.floor'],
    ['$O.pelton-artifacts.C.>', '$O.pelton-staging-artifacts.C.>'],
    [
      '$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.RETRIES.>',
      '$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.staging-RETRIES.>',
    ],
  ])('put %s at %s', (plain, real) => {
    expect(names.subject(plain)).toBe(real)
    expect(names.plainSubject(real)).toBe(plain)
  })

  it('leave everything of one stream as it is', () => expect(names.subject('>')).toBe('>'))

  it('change every stream and subject of the contract, and none twice', () => {
    const other = createNames('other')
    const of = (each: typeof names): string[] =>
      specs.flatMap((spec) => [each.stream(spec.name), ...spec.subjects.map(each.subject)])
    const all = [...of(PLAIN_NAMES), ...of(names), ...of(other)]
    expect(new Set(all).size).toBe(all.length)
  })

  it('keep subjects of two Peltons from overlapping, whatever the prefixes', () => {
    const prefixes = [undefined, 'a', 'b', 'models', 'FEATURES', 'KV']
    const filters = prefixes.map((prefix) => {
      const { subject } = createNames(prefix)
      const consumers = consumerSpecs('default', DEFAULT_TOPOLOGY).map(({ filter_subject }) => filter_subject)
      return [...specs.flatMap((spec) => spec.subjects), ...consumers].map(subject)
    })
    const clashes = filters.flatMap((own, at) =>
      filters
        .slice(at + 1)
        .flatMap((others) =>
          own.flatMap((one) => others.filter((other) => overlap(one, other)).map((other) => [one, other])),
        ),
    )
    expect(clashes).toEqual([])
  })

  it('name in texts what the broker has, and nothing else', () => {
    expect(names.text('FEATURES is full: nats stream edit LEDGER, KV_pelton-starts, pelton-models.')).toBe(
      'staging-FEATURES is full: nats stream edit staging-LEDGER, KV_pelton-staging-starts, pelton-staging-models.',
    )
    const unchanged =
      'PELTON_FEATURES_MAX_BYTES, staging-RESULTS, worker-RESULTS-high, RESULTSX, pelton models'
    expect(names.text(unchanged)).toBe(unchanged)
    expect(names.text(names.text('RETRIES'))).toBe('staging-RETRIES')
    const given =
      'model "FEATURES", subject exams.RESULTS, subjects "LEDGER", RESULTS.>, LEDGER.a, FEATURES.*'
    expect(names.text(given)).toBe(given)
    const folder = '/srv/pelton-models/churn/1 and ./FEATURES cannot be read'
    expect(names.text(folder)).toBe(folder)
    expect(names.text('a replica of FEATURES/worker')).toBe('a replica of staging-FEATURES/worker')
    expect(names.text('"When FEATURES was made anew"')).toBe('"When staging-FEATURES was made anew"')
  })

  it('change the headers that the broker acts on, and no other', () => {
    const entries = [
      [HEADERS.expectedStream, STREAMS.retries],
      [HEADERS.scheduleTarget, subjects.due(route, token)],
      [HEADERS.origin, 'FEATURES 2026-01-01T00:00:00Z 7'],
      [HEADERS.originalSubject, subjects.feature(route)],
    ] as const
    expect(names.headers(entries)).toEqual([
      [HEADERS.expectedStream, 'staging-RETRIES'],
      [HEADERS.scheduleTarget, `staging.due.default.churn.high.${token}`],
      entries[2],
      entries[3],
    ])
  })
})

test.each([
  ['FEATURES', 'FEATURES'],
  ['staging-FEATURES', 'FEATURES'],
  ['a_1-RETRIES', 'RETRIES'],
  ['orders', 'orders'],
  ['a-orders', 'a-orders'],
  [STORES.models, STORES.models],
])('the plain name of stream %s is %s', (name, plain) => expect(plainStreamOf(name)).toBe(plain))

/** Whether a subject can match both filters. */
function overlap(one: string, other: string): boolean {
  const [a, b] = [one.split('.'), other.split('.')]
  for (let at = 0; ; at++) {
    if (a[at] === '>') return at < b.length
    if (b[at] === '>') return at < a.length
    if (a[at] === undefined || b[at] === undefined) return a.length === b.length
    if (a[at] !== b[at] && a[at] !== '*' && b[at] !== '*') return false
  }
}
