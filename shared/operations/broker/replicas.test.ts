import { describe, expect, it } from 'vitest'
import {
  groupOf,
  judgeReplicas,
  lags,
  MOST_LAG,
  type Replica,
  type ReplicaGroup,
  SILENT_MS,
  silences,
} from './replicas.ts'

const replica = (server: string, change: Partial<Replica> = {}): Replica => ({
  server,
  isCurrent: true,
  isOffline: false,
  silentMs: 300,
  lag: 0,
  ...change,
})

/** FEATURES led by n1, with n2 and n3 well but for what a case changes of n3. */
const features = (n3: Partial<Replica> = {}, change: Partial<ReplicaGroup> = {}): ReplicaGroup => ({
  stream: 'FEATURES',
  leader: 'n1',
  replicas: [replica('n2'), replica('n3', n3)],
  progress: '7',
  ...change,
})
const results = (n3: Partial<Replica> = {}): ReplicaGroup => ({ ...features(n3), stream: 'RESULTS' })
const lane = (n3: Partial<Replica> = {}, change: Partial<ReplicaGroup> = {}): ReplicaGroup => ({
  ...features(n3),
  consumer: 'worker-default-normal',
  ...change,
})

const told = (before: readonly ReplicaGroup[], now: readonly ReplicaGroup[] = before): readonly string[] =>
  judgeReplicas(before, now).map(({ kind, about }) => `${kind} ${about}`)

const SILENT = { isCurrent: false, silentMs: SILENT_MS }
const LATE = { isCurrent: false, lag: MOST_LAG }
const BUSY = { isCurrent: false, lag: MOST_LAG - 1 }
/** As a leader that was elected after the server went tells it. */
const NEVER_HEARD = { isCurrent: false, silentMs: SILENT_MS, lag: undefined }

describe('judgeReplicas', () => {
  it.each<[string, readonly ReplicaGroup[], readonly ReplicaGroup[], readonly string[]]>([
    ['a cluster that is well', [features(), lane()], [features(), lane()], []],
    ['a server alone', [features({}, { replicas: [] })], [features({}, { replicas: [] })], []],
    ['a silent server, in one look', [features()], [features(SILENT)], ['server-away n3']],
    ['one that a new leader never heard of', [features()], [features(NEVER_HEARD)], ['server-away n3']],
    [
      'one silent for a moment',
      [features()],
      [features({ isCurrent: false, silentMs: SILENT_MS - 1 }, { progress: '8' })],
      [],
    ],
    [
      'one that the cluster takes for gone, before anybody leads',
      [features()],
      [features({ isOffline: true, silentMs: undefined })],
      ['server-away n3'],
    ],
    [
      'one that another leader hears',
      [features(SILENT), results()],
      [features(SILENT), results()],
      ['replica-not-current n3'],
    ],
    [
      'one that leads another stream',
      [features(SILENT), { ...results(), leader: 'n3', replicas: [replica('n1'), replica('n2')] }],
      [features(SILENT), { ...results(), leader: 'n3', replicas: [replica('n1'), replica('n2')] }],
      ['replica-not-current n3'],
    ],
    ['a replica far behind, in both looks', [features(LATE)], [features(LATE)], ['replica-behind n3']],
    ['one far behind for a moment', [features()], [features(LATE)], []],
    ['one that has caught up', [features(LATE)], [features()], []],
    ['a consumer far behind', [features(), lane(LATE)], [features(), lane(LATE)], ['replica-behind n3']],
    [
      'a silent server far behind',
      [features(LATE)],
      [features({ ...LATE, ...SILENT })],
      ['server-away n3', 'replica-behind n3'],
    ],
    [
      'a busy replica: events come, and it is a little late',
      [features(BUSY)],
      [features(BUSY, { progress: '8' })],
      [],
    ],
    ['one as late while nothing comes', [features(BUSY)], [features(BUSY)], ['replica-not-current n3']],
    ['one not current for a moment', [features()], [features(BUSY)], []],
    [
      'one that a leader of a moment ago has not heard of yet',
      [features({ isCurrent: false, silentMs: 20, lag: undefined })],
      [features({ isCurrent: false, silentMs: 1_100, lag: undefined })],
      [],
    ],
    [
      'a stream without a leader, in both looks',
      [features({}, { leader: undefined })],
      [features({}, { leader: undefined })],
      ['no-leader FEATURES'],
    ],
    ['one that had a leader in between', [features()], [features({}, { leader: undefined })], []],
    ['a new leader', [features({}, { leader: undefined })], [features()], []],
    [
      'a consumer without a leader',
      [features(), lane({}, { leader: undefined, replicas: [] })],
      [features(), lane({}, { leader: undefined, replicas: [] })],
      ['no-leader worker-default-normal'],
    ],
    ['what an earlier look had not seen', [], [features(LATE), lane({}, { leader: undefined })], []],
  ])('%s', (_what, before, now, expected) => {
    expect(told(before, now)).toEqual(expected)
  })

  it('names the server, since when, what it holds, and what to do', () => {
    const held = ['FEATURES', 'RETRIES', 'RESULTS', 'LEDGER'].map((stream) => ({
      ...features({ isCurrent: false, silentMs: 12_000, lag: 4_381 }),
      stream,
    }))
    const groups = [lane(SILENT), ...held]
    expect(judgeReplicas(groups, groups)).toEqual([
      {
        kind: 'server-away',
        about: 'n3',
        text: 'server n3 is away: silent for 5.0 s; it holds a replica of FEATURES, RETRIES, RESULTS and 2 more',
        remedy: expect.stringContaining('docs/runbooks/server-away.md'),
      },
      {
        kind: 'replica-behind',
        about: 'n3',
        text: 'replicas on server n3 are behind, by 4,381 operations at most: FEATURES, RETRIES, RESULTS and 1 more',
        remedy: expect.stringContaining('docs/runbooks/replica-behind.md'),
      },
    ])
  })

  it('says of what nobody leads what that stops', () => {
    const groups = [features({}, { leader: undefined }), lane({}, { leader: undefined, replicas: [] })]
    expect(judgeReplicas(groups, groups).map(({ text }) => text)).toEqual([
      'stream FEATURES has no leader that answers (held by n2, n3): nothing is stored or read there',
      'consumer worker-default-normal of FEATURES has no leader that answers: nobody gets its events',
    ])
  })
})

describe('what metrics say', () => {
  it('is the shortest silence any leader knows of, none for a server that leads', () => {
    const groups = [features({ silentMs: 9_000 }), results({ silentMs: 4_000 })]
    expect([...silences(groups)]).toEqual([
      ['n2', 300],
      ['n3', 4_000],
      ['n1', 0],
    ])
    expect([
      ...silences([features({}, { leader: undefined, replicas: [replica('n2', { silentMs: undefined })] })]),
    ]).toEqual([['n2', undefined]])
  })

  it('is the longest lag of a stream and its consumers', () => {
    expect(lags([features({ lag: 3 }), lane({ lag: 8 }), lane({}, { leader: undefined })])).toEqual([
      { server: 'n1', stream: 'FEATURES', lag: 0 },
      { server: 'n2', stream: 'FEATURES', lag: 0 },
      { server: 'n3', stream: 'FEATURES', lag: 8 },
    ])
  })
})

describe('groupOf', () => {
  const at = Date.parse('2026-01-31T12:00:10Z')
  const of = { stream: 'FEATURES', progress: '' }
  const cluster = {
    leader: 'n1',
    leader_since: '2026-01-31T12:00:00Z',
    replicas: [
      { name: 'n2', current: true, active: 250_000_000 },
      { name: 'n3', current: false, active: 0, lag: 120_000 },
    ],
  }

  it('takes a replica its leader never heard of for silent since the election, and its lag for unknown', () => {
    expect(groupOf(of, cluster, { at, alone: '' })).toEqual({
      ...of,
      leader: 'n1',
      replicas: [
        { server: 'n2', isCurrent: true, isOffline: false, silentMs: 250, lag: 0 },
        { server: 'n3', isCurrent: false, isOffline: false, silentMs: 10_000, lag: undefined },
      ],
    })
  })

  it('knows nothing of silence without a leader, and a server alone leads', () => {
    const unled = groupOf(of, { ...cluster, leader: '' }, { at, alone: '' })
    expect([unled.leader, unled.replicas.map(({ silentMs }) => silentMs)]).toEqual([
      undefined,
      [undefined, undefined],
    ])
    expect(groupOf(of, undefined, { at, alone: 'n1' })).toEqual({ ...of, leader: 'n1', replicas: [] })
  })
})
