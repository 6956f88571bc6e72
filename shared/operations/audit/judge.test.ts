import { describe, expect, test } from 'vitest'
import type { Evidence, ExpectedEvent, NamedOutcome, Reach, StoredLetter, StoredOutcome } from './evidence.ts'
import { judge } from './judge.ts'

const EPOCH = '2026-01-31T12:00:00Z'
const TOKEN = 'A'.repeat(22)
const ORIGIN = { stream: 'FEATURES', epoch: EPOCH, sequence: 7 }
/** Digests of what is stored; anything else is of nobody. */
const [PREDICTION, NOTICE, SECOND_NOTICE, LETTER, SECOND_LETTER, PAYLOAD] = [1, 2, 3, 4, 5, 6]

const REACH: Reach = {
  ledger: 0,
  results: Number.NEGATIVE_INFINITY,
  letters: Number.NEGATIVE_INFINITY,
  isWhole: true,
  knowsEpoch: (epoch) => epoch === EPOCH,
  isSignedFor: () => false,
  plain: () => undefined,
}

function prediction(given: Partial<StoredOutcome> = {}): StoredOutcome {
  return {
    ...{ kind: 'prediction', sequence: 10, storedAt: 1_000, digest: PREDICTION, origin: ORIGIN },
    ...{ madeAt: 990, inputs: [PAYLOAD], follows: 0, isSecond: false },
    ...given,
  }
}

function notice(given: Partial<StoredOutcome> = {}): StoredOutcome {
  return prediction({ kind: 'notice', digest: NOTICE, ...given })
}

function letter(given: Partial<StoredLetter> = {}): StoredLetter {
  return {
    sequence: 20,
    storedAt: 1_001,
    digest: LETTER,
    origin: ORIGIN,
    failedAt: 990,
    isElsewhere: false,
    ...given,
  }
}

type Entry = readonly [
  outcome: NamedOutcome['outcome'],
  digest?: number,
  letter?: number | undefined,
  isOfRetry?: boolean,
]

/** What the ledger says in these entries, a second apart. */
function event(entries: readonly Entry[], given: Partial<ExpectedEvent> = {}): ExpectedEvent {
  const told = entries.filter(([outcome]) =>
    ['predicted', 'already-answered', 'dead-lettered'].includes(outcome),
  )
  const ends = entries.findLast(([outcome]) => ['discarded', 'replayed', 'purged'].includes(outcome))
  return {
    ...{ token: TOKEN, ...ORIGIN, since: 1_100, isOfFeatures: true },
    outcomes: new Set(entries.map(([outcome]) => outcome)),
    named: told.flatMap(([outcome, digest, , isOfRetry = false], index) =>
      digest === undefined ? [] : [{ outcome, digest, at: 1_100 + index * 1_000, isOfRetry }],
    ),
    letters: entries.flatMap(([, , of]) => (of === undefined ? [] : [of])),
    retried: [],
    isWithoutDigest: told.some(([, digest]) => digest === undefined),
    isWithoutLetterDigest: told.some(([outcome, , of]) => outcome !== 'predicted' && of === undefined),
    ended: ends && { outcome: ends[0], at: 5_000 },
    ...given,
  }
}

function look(given: Partial<Evidence>, reach: Partial<Reach> = {}) {
  const nothing = {
    token: TOKEN,
    event: undefined,
    register: [],
    letters: [],
    isWaiting: false,
    hold: undefined,
  }
  return judge({ ...nothing, ...given }, { ...REACH, ...reach })
}

const names = (given: Partial<Evidence>, reach: Partial<Reach> = {}) =>
  look(given, reach).problems.map(({ problem }) => problem)

const plainWith = (...digests: number[]): Partial<Reach> => ({ plain: () => ({ digests }) })
const GIVEN_UP = event([['dead-lettered', NOTICE, LETTER]])
const REPLAYED = prediction({ sequence: 11, storedAt: 2_000, follows: 10 })
const FAILED_AGAIN = notice({
  sequence: 11,
  storedAt: 2_000,
  follows: 10,
  digest: SECOND_NOTICE,
  madeAt: 1_990,
})
const HOLD = { letter: 20, supersedes: 10 }

describe('what is lawful raises no problem', () => {
  test.each<[string, Partial<Evidence>, Partial<Reach>?]>([
    ['a plain prediction with its digest', { register: [prediction()] }, plainWith(PREDICTION)],
    ['one of a record of before, without digest', { register: [prediction()] }, plainWith()],
    ['a dead letter', { event: GIVEN_UP, register: [notice()], letters: [letter()] }],
    [
      'the same by a record of before',
      { event: event([['dead-lettered']]), register: [notice()], letters: [letter()] },
    ],
    [
      'a worker that ended before it told the ledger: another found its prediction',
      { event: event([['already-answered', PREDICTION]]), register: [prediction()] },
    ],
    ['an event that waits still, its prediction stored', { register: [prediction()], isWaiting: true }],
    [
      'the same, its notice and dead letter stored',
      { register: [notice()], letters: [letter()], isWaiting: true },
    ],
    [
      'a replay under way, its prediction stored',
      { event: GIVEN_UP, register: [notice(), REPLAYED], letters: [letter()], hold: HOLD },
    ],
    [
      'a replay whose process was left, with its hold',
      {
        event: event([
          ['dead-lettered', NOTICE, LETTER],
          ['predicted', PREDICTION],
        ]),
        ...{ register: [notice(), REPLAYED], letters: [letter()], hold: HOLD },
      },
    ],
    [
      'the same, its hold removed: the notice it replaced says so',
      {
        event: event([
          ['dead-lettered', NOTICE, LETTER],
          ['predicted', PREDICTION],
        ]),
        ...{ register: [notice(), REPLAYED], letters: [letter()] },
      },
    ],
    [
      'a replay that has ended',
      {
        event: event([['dead-lettered', NOTICE, LETTER], ['predicted', PREDICTION], ['replayed']]),
        register: [notice(), REPLAYED],
      },
    ],
    [
      'a replay that failed',
      {
        event: event([
          ['dead-lettered', NOTICE, LETTER],
          ['dead-lettered', SECOND_NOTICE, SECOND_LETTER],
        ]),
        register: [notice(), FAILED_AGAIN],
        letters: [letter({ digest: SECOND_LETTER, failedAt: 1_990 })],
      },
    ],
    [
      'one that failed just now: the notice is new, the dead letter not yet',
      { event: GIVEN_UP, register: [notice(), FAILED_AGAIN], letters: [letter()], hold: HOLD },
    ],
    [
      'an id used again after its failure notice had expired',
      { event: GIVEN_UP, register: [prediction({ storedAt: 90_000 })], letters: [letter()] },
      { ...plainWith(PREDICTION), results: 50_000 },
    ],
    [
      'a dead letter that was discarded',
      { event: event([['dead-lettered', NOTICE, LETTER], ['discarded']]), register: [notice()] },
    ],
    [
      'the same, imported again',
      {
        event: event([['dead-lettered', NOTICE, LETTER], ['discarded']]),
        register: [notice()],
        letters: [letter({ storedAt: 9_000 })],
      },
    ],
    [
      'a retry that was answered',
      {
        event: event([['retried'], ['predicted', PREDICTION, undefined, true]], { retried: [PAYLOAD] }),
        register: [prediction()],
      },
    ],
    [
      'a copy that found the answer of another payload with its id',
      {
        event: event([['retried'], ['already-answered', PREDICTION, undefined, true]], { retried: [9] }),
        register: [prediction()],
      },
    ],
    [
      'a notice that nobody told the ledger of, replaced by a replay since',
      {
        event: event([['predicted', PREDICTION], ['replayed'], ['already-answered', PREDICTION]]),
        register: [notice(), REPLAYED],
      },
    ],
    [
      'the same, where the replay failed too',
      {
        event: event([
          ['dead-lettered', SECOND_NOTICE, SECOND_LETTER],
          ['already-answered', SECOND_NOTICE, SECOND_LETTER],
        ]),
        register: [notice(), FAILED_AGAIN],
        letters: [letter({ digest: SECOND_LETTER, failedAt: 1_990 })],
      },
    ],
    [
      'the same, the second dead letter discarded since',
      {
        event: event([
          ['dead-lettered', SECOND_NOTICE, SECOND_LETTER],
          ['already-answered', SECOND_NOTICE, SECOND_LETTER],
          ['discarded'],
        ]),
        register: [notice(), FAILED_AGAIN],
      },
    ],
    [
      'a notice that a replay has replaced, its dead letter still in the hands of the replay',
      {
        event: event([['predicted', PREDICTION]]),
        ...{ register: [notice(), REPLAYED], letters: [letter()], hold: HOLD },
      },
    ],
    [
      'an outcome of an event that was removed and signed for, and that nobody told the ledger of',
      { register: [notice()], letters: [letter()] },
      { isSignedFor: () => true },
    ],
    [
      'a notice of such an event, its worker killed before the dead letter, which another event of that id found',
      { event: event([['already-answered', NOTICE]]), register: [notice()] },
      { isSignedFor: () => true },
    ],
    [
      'the end of a retry of such an event',
      {
        event: event([['predicted', PREDICTION, undefined, true]], { isOfFeatures: false }),
        register: [prediction()],
      },
      { isSignedFor: () => true },
    ],
    ['a parked event', { event: event([['retried'], ['retried']], { retried: [PAYLOAD] }) }],
    ['what an operator signed for', { event: event([['purged']]) }],
    ['results that have expired', { event: GIVEN_UP, letters: [letter()] }, { results: 50_000 }],
  ])('%s', (_what, given, reach) => expect(look(given, reach)).toMatchObject({ problems: [], unproven: [] }))
})

describe('what contradicts the ledger is named', () => {
  test.each<[string, string[], Partial<Evidence>, Partial<Reach>?]>([
    ['a prediction that is gone', ['no-result'], { event: event([['predicted', PREDICTION]]) }],
    ['a notice that is gone', ['no-result'], { event: GIVEN_UP, letters: [letter()] }],
    ['a dead letter that is gone', ['no-dead-letter'], { event: GIVEN_UP, register: [notice()] }],
    [
      'a dead letter that was told and is gone, though its event was signed for as removed',
      ['no-dead-letter'],
      { event: GIVEN_UP, register: [notice()] },
      { isSignedFor: () => true },
    ],
    ['both', ['no-result', 'no-dead-letter'], { event: GIVEN_UP }],
    [
      'a notice that a replay superseded and that is gone',
      ['no-result'],
      {
        event: event([['dead-lettered', NOTICE, LETTER], ['predicted', PREDICTION], ['replayed']]),
        register: [REPLAYED],
      },
    ],
    [
      'an edited prediction',
      ['other-digest'],
      { register: [prediction({ digest: 9 })] },
      plainWith(PREDICTION),
    ],
    [
      'an edited notice',
      ['other-digest'],
      { event: GIVEN_UP, register: [notice({ digest: 9 })], letters: [letter()] },
    ],
    [
      'a notice put before a prediction that was told, where no replay is known to have replaced one',
      ['other-outcome'],
      { event: event([['predicted', PREDICTION]]), register: [notice({ digest: 9 }), REPLAYED] },
    ],
    [
      'an edited notice that a replay has replaced',
      ['other-digest'],
      {
        event: event([['dead-lettered', NOTICE, LETTER], ['predicted', PREDICTION], ['replayed']]),
        register: [notice({ digest: 9 }), REPLAYED],
      },
    ],
    [
      'an edited dead letter',
      ['other-digest'],
      { event: GIVEN_UP, register: [notice()], letters: [letter({ digest: 9 })] },
    ],
    [
      'the same, while another delivery of its event waits',
      ['other-digest'],
      { event: GIVEN_UP, register: [notice()], letters: [letter({ digest: 9 })], isWaiting: true },
    ],
    [
      'an edited dead letter beside a prediction that another worker found',
      ['both'],
      { event: event([['already-answered', PREDICTION]]), register: [prediction()], letters: [letter()] },
    ],
    [
      'an older dead letter in place of the one of the last failure',
      ['other-digest'],
      {
        event: event([
          ['dead-lettered', NOTICE, LETTER],
          ['dead-lettered', SECOND_NOTICE, SECOND_LETTER],
        ]),
        ...{ register: [notice(), FAILED_AGAIN], letters: [letter()] },
      },
    ],
    ['a prediction turned into a notice', ['other-outcome'], { register: [notice()] }, plainWith(PREDICTION)],
    [
      'a prediction after a notice',
      ['other-outcome'],
      { event: GIVEN_UP, register: [notice(), prediction({ sequence: 11 })] },
    ],
    [
      'a second result',
      ['answered-twice'],
      { register: [prediction(), prediction({ sequence: 11, digest: 9 })] },
      plainWith(PREDICTION),
    ],
    [
      'junk after a prediction',
      ['answered-twice'],
      { register: [prediction(), prediction({ sequence: 11, digest: 9, kind: 'unreadable' })] },
      plainWith(PREDICTION),
    ],
    [
      'junk before a prediction',
      ['unreadable-outcome'],
      {
        register: [prediction({ kind: 'unreadable', sequence: 9, digest: 9 }), prediction({ follows: 9 })],
      },
      plainWith(PREDICTION),
    ],
    [
      'a second notice',
      ['noticed-twice'],
      { event: GIVEN_UP, register: [notice(), notice({ sequence: 11, digest: 9 })], letters: [letter()] },
    ],
    [
      'the same notice again',
      ['noticed-twice'],
      { event: GIVEN_UP, register: [notice(), notice({ sequence: 11 })], letters: [letter()] },
    ],
    [
      'a second notice that a worker has read since',
      ['noticed-twice'],
      {
        event: event([
          ['dead-lettered', NOTICE, LETTER],
          ['already-answered', SECOND_NOTICE],
        ]),
        ...{ register: [notice(), { ...FAILED_AGAIN, follows: undefined }], letters: [letter()] },
      },
    ],
    [
      'a dead letter beside a prediction',
      ['both'],
      { register: [prediction()], letters: [letter()] },
      plainWith(PREDICTION),
    ],
    [
      'a dead letter that is back after its replay',
      ['both'],
      {
        event: event([['dead-lettered', NOTICE, LETTER], ['predicted', PREDICTION], ['replayed']]),
        ...{ register: [notice(), REPLAYED], letters: [letter({ storedAt: 9_000 })] },
      },
    ],
    [
      'a dead letter that is back after it was purged',
      ['foreign'],
      {
        event: event([['dead-lettered', NOTICE, LETTER], ['purged']]),
        ...{ register: [notice()], letters: [letter({ storedAt: 9_000 })] },
      },
    ],
    ['a result nobody published', ['foreign'], { register: [prediction()] }],
    ['a dead letter nobody published', ['foreign'], { letters: [letter()] }],
    [
      'a result of an origin that has one',
      ['foreign'],
      { register: [prediction({ isSecond: true })] },
      plainWith(),
    ],
    [
      'an answer to another payload than the one that was retried',
      ['other-digest'],
      {
        event: event([['retried'], ['predicted', PREDICTION, undefined, true]], { retried: [9] }),
        register: [prediction()],
      },
    ],
    [
      'an end in RETRIES of what nobody retried',
      ['foreign'],
      {
        event: event([['predicted', PREDICTION, undefined, true]], { isOfFeatures: false }),
        register: [prediction()],
      },
    ],
    ['an operator’s end of what no worker gave up', ['no-result'], { event: event([['discarded']]) }],
    [
      'a forged result of an event that waits: no worker publishes without its expectation',
      ['foreign'],
      { register: [prediction({ follows: undefined })], isWaiting: true },
    ],
    [
      'a prediction beside a dead letter that a replay merely holds',
      ['other-outcome'],
      {
        ...{ event: GIVEN_UP, letters: [letter()], hold: HOLD },
        register: [notice(), prediction({ sequence: 11, follows: undefined })],
      },
    ],
  ])('%s: %j', (_what, expected, given, reach) => expect(names(given, reach)).toEqual(expected))
})

describe('what is older than the ledger', () => {
  test('is unproven, and counted by when it was stored', () => {
    const old = { register: [prediction({ storedAt: 5 })], letters: [letter({ storedAt: 6 })] }
    expect(look(old, { ledger: 100 })).toMatchObject({ problems: [], unproven: [5, 6] })
  })

  test('is so for a dead letter of another broker, and for one that failed before, whenever it was stored', () => {
    const imported = letter({ storedAt: 9_000, origin: { ...ORIGIN, epoch: '2020-01-01T00:00:00Z' } })
    expect(look({ letters: [imported] })).toMatchObject({ problems: [], unproven: [9_000] })
    expect(look({ letters: [letter({ storedAt: 9_000 })] }, { ledger: 5_000 }).unproven).toEqual([9_000])
  })

  test('is so where an archive brought it after the one of here was discarded, and not while that one should lie here', () => {
    const imported = letter({
      digest: 9,
      storedAt: 9_000,
      origin: { ...ORIGIN, epoch: '2020-01-01T00:00:00Z' },
    })
    const discarded = event([['dead-lettered', NOTICE, LETTER], ['discarded']])
    expect(look({ event: discarded, register: [notice()], letters: [imported] })).toMatchObject({
      ...{ problems: [], unproven: [9_000] },
    })
    expect(names({ event: GIVEN_UP, register: [notice()], letters: [imported] })).toEqual(['other-digest'])
  })

  test('is so where a later record of the event is left', () => {
    const left = event([['predicted', PREDICTION], ['replayed']])
    const old = { event: left, register: [notice({ storedAt: 5 }), prediction({ sequence: 11, follows: 9 })] }
    expect(look(old, { ledger: 100 })).toMatchObject({ problems: [], unproven: [5] })
    const given = { event: event([['already-answered', NOTICE]]), register: [notice({ storedAt: 5 })] }
    expect(look(given, { ledger: 100 }).problems).toEqual([])
  })

  test('is no excuse for what the ledger knows', () => {
    const reach = { ...plainWith(PREDICTION), ledger: 5_000 }
    expect(names({ register: [prediction({ digest: 9 })] }, reach)).toEqual(['other-digest'])
  })

  test('is an outcome of a newer contract, whatever the ledger says', () => {
    expect(look({ register: [prediction({ kind: 'newer' })] }).unproven).toEqual([1_000])
  })
})

test('a problem names the event by the ledger, else by the origin of its messages, and the message', () => {
  const [twice] = look(
    { register: [prediction(), prediction({ sequence: 11 })] },
    plainWith(PREDICTION),
  ).problems
  expect(twice).toEqual({
    ...{ problem: 'answered-twice', token: TOKEN, ...ORIGIN },
    message: { stream: 'RESULTS', sequence: 11 },
  })
  const junk = prediction({ kind: 'unreadable', origin: undefined })
  expect(look({ register: [junk] }).problems).toEqual([
    {
      ...{ problem: 'unreadable-outcome', token: TOKEN, stream: 'RESULTS', sequence: 10 },
      message: { stream: 'RESULTS', sequence: 10 },
    },
  ])
})
