import { headers } from '@nats-io/transport-node'
import { describe, expect } from 'vitest'
import { loadFlights } from '../../services/demo/flights.ts'
import { audit } from '../../shared/operations/audit/audit.ts'
import type { AuditReport } from '../../shared/operations/audit/report.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { encodeLedgerRecord, type LedgerEntry } from '../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { readStream } from '../kit/outcomes.ts'
import { openPipeline, settled } from '../kit/pipeline.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'

const MODEL = 'flight-delay'
const SOURCE = 'test'
const ROUTE = { pool: 'default', model: MODEL, lane: 'normal' } as const
const [FLIGHT] = await loadFlights({ count: 1 })
const GOOD = JSON.stringify({ features: FLIGHT?.features })
const BAD = '{"features": {}}'

const test = staged(openStage)

async function openStage() {
  const pipeline = await openPipeline({ topology: { ackWaitMs: 3_000 } })
  const { connection, startWorker } = pipeline

  async function publish(
    id: string,
    body = GOOD,
    extra: Readonly<Record<string, string>> = {},
  ): Promise<number> {
    const block = headers()
    for (const [name, value] of Object.entries(extra)) block.set(name, value)
    block.set(HEADERS.id, id)
    block.set(HEADERS.source, SOURCE)
    const reply = await connection.request(subjects.feature(ROUTE), body, { headers: block, timeout: 5_000 })
    return reply.json<{ seq: number }>().seq
  }

  /** Waits until the workers have nothing left to do. */
  const drained = (): Promise<unknown> => settled(connection, 0, { hasReplays: true })

  /** Waits until everything in a stream is older than it keeps. */
  async function expired(stream: string): Promise<void> {
    const left = (): Promise<number> => pipeline.countIn(stream)
    await eventually(`${stream} to be empty`, async () => (await left()) === 0, { everyMs: 100, seen: left })
  }

  /** What a worker would say about deliveries of a stream. */
  async function record(entries: readonly LedgerEntry[], stream: string = STREAMS.features): Promise<void> {
    const epoch = (await streamInfo(connection, stream))?.created ?? ''
    const body = encodeLedgerRecord({ stream, epoch, by: 'test', entries })
    await connection.request(subjects.ledger('default'), body)
  }

  async function remove(stream: string, seq: number): Promise<void> {
    await requestApi(connection, `STREAM.MSG.DELETE.${stream}`, { seq })
  }

  async function look(options: { full?: boolean; deep?: boolean; maxRemoved?: number } = {}) {
    return (await audit(connection, { signal: AbortSignal.abort(), ...options })).report
  }

  async function cli(...args: string[]) {
    return runCli(['audit', ...args], pipeline)
  }

  /** Predictions, dead letters, one duplicate the broker absorbs, one event it stores again. */
  async function aRun(): Promise<void> {
    await startWorker()
    for (let index = 0; index < 20; index++) await publish(`good-${index}`)
    for (let index = 0; index < 3; index++) await publish(`bad-${index}`, BAD)
    const absorbed = { [HEADERS.messageId]: 'absorbed' }
    expect(await publish('good-20', GOOD, absorbed)).toBe(await publish('good-20', GOOD, absorbed))
    await drained()
    await publish('good-0')
    await drained()
  }

  return { ...pipeline, publish, drained, expired, record, remove, look, cli, aRun }
}

describe.concurrent('pelton audit', () => {
  test('accounts for predictions, dead letters and events published twice, also with --deep', async ({
    stage,
  }) => {
    const { look, cli, aRun } = stage
    await aRun()
    const report = await look({ deep: true })
    expect(report).toMatchObject({
      clean: true,
      sequences: 25,
      waiting: 0,
      lost: [],
      lostRetries: [],
      outcomes: { predicted: 21, 'dead-lettered': 3, 'already-answered': 1 },
      deep: { results: 24, deadLetters: 3, expired: 0, problems: [] },
    })
    const { code, out } = await cli('--deep')
    expect(code).toBe(0)
    expect(out).toMatch(/^Every event is accounted for: 25 events up to sequence 25 \(\d/)
  })

  test('never raises a false alarm while events are published and answered, and a worker is killed', async ({
    stage,
  }) => {
    const { startWorker, publish, drained, look } = stage
    const [worker] = [await startWorker(), await startWorker()]
    let isOver = false
    const producing = (async () => {
      for (let index = 0; !isOver; index++)
        await Promise.all([publish(`g-${index}`), publish(`b-${index}`, BAD)])
    })()
    const reports: AuditReport[] = []
    for (let round = 0; round < 10; round++) {
      if (round === 5) worker?.kill('SIGKILL')
      reports.push(await look({ deep: round % 2 === 1 }))
    }
    isOver = true
    await producing
    expect(reports.filter(({ clean }) => !clean)).toEqual([])
    expect(reports.at(-1)?.sequences).toBeGreaterThan(reports[0]?.sequences ?? 0)
    await drained()
    expect(await look({ deep: true })).toMatchObject({ clean: true, waiting: 0 })
  })

  test('names exactly the event that left FEATURES without an outcome, until an operator says why', async ({
    stage,
  }) => {
    const { publish, remove, look, cli } = stage
    for (let index = 0; index < 5; index++) await publish(`e-${index}`)
    await remove(STREAMS.features, 3)
    expect(await look()).toMatchObject({ clean: false, waiting: 4, lost: [[3, 3]] })

    const alarm = await cli()
    expect(alarm.code).toBe(1)
    expect(alarm.out).toContain('Lost, neither stored nor in the ledger: 3\n')
    expect((await cli('--sign-off')).err).toContain('not signed off')

    expect((await cli('--purged', '2-3', '--reason', 'a trial')).err).toContain('--purged = 2')
    const declared = await cli('--purged', '3', '--reason', 'a trial')
    expect([declared.code, declared.err]).toEqual([
      0,
      expect.stringMatching(/purged, by operator .*: a trial/),
    ])
    expect(await look()).toMatchObject({ clean: true, waiting: 4, outcomes: { purged: 1 } })
  })

  test('finds the events of a record that was removed from the ledger, and says that one was', async ({
    stage,
  }) => {
    const { connection, publish, record, remove, look } = stage
    for (let index = 0; index < 6; index++) await publish(`e-${index}`)
    for (const pair of [
      [1, 2],
      [3, 4],
      [5, 6],
    ])
      await record(pair.map((sequence) => ({ sequence, outcome: 'predicted' })))
    await requestApi(connection, `STREAM.PURGE.${STREAMS.features}`)
    expect(await look()).toMatchObject({ clean: true, ledger: { removed: 0 } })
    await remove(STREAMS.ledger, 2)
    expect(await look()).toMatchObject({ clean: false, lost: [[3, 4]], ledger: { removed: 1 } })
    // The first of all: gone like one that expired, but none can have expired yet.
    await remove(STREAMS.ledger, 1)
    expect(await look()).toMatchObject({ clean: false, lost: [[1, 4]], ledger: { removed: 2, expired: 0 } })
  })

  test('tells records that expired from those that were removed: unproven, until somebody signs for it', async ({
    stage,
  }) => {
    const { expired, connection, publish, record, remove, look, cli } = stage
    for (let index = 0; index < 3; index++) await publish(`e-${index}`)
    await record([{ sequence: 1, outcome: 'predicted' }])
    await remove(STREAMS.features, 1)
    const config = (await streamInfo(connection, STREAMS.ledger))?.config
    await requestApi(connection, `STREAM.UPDATE.${STREAMS.ledger}`, {
      ...config,
      max_age: 1e9,
      duplicate_window: 1e9,
    })
    await expired(STREAMS.ledger)
    expect(await look()).toMatchObject({
      clean: false,
      waiting: 2,
      lost: [],
      unproven: [[1, 1]],
      warnings: [expect.stringContaining('1 sequences cannot be proven')],
      ledger: { expired: 1 },
    })
    const unproven = await cli()
    expect([unproven.code, unproven.out]).toEqual([
      1,
      expect.stringMatching(/^Not every event can be proven: 3/),
    ])
    const signed = await cli('--sign-off')
    expect([signed.code, signed.err]).toEqual([0, expect.stringContaining('signed for: 1 sequences')])
    for (const full of [false, true])
      expect(await look({ full })).toMatchObject({ clean: true, warnings: [] })
  })

  test('wants a retried event in the retry lane, or its end in the ledger', async ({ stage }) => {
    const { connection, publish, record, remove, look } = stage
    const token = eventToken(MODEL, SOURCE, 'e')
    const sequence = await publish('e')
    const copy = headers()
    copy.set(HEADERS.schedule, `@at ${new Date(Date.now() + 3_600_000).toISOString()}`)
    copy.set(HEADERS.scheduleTarget, subjects.due(ROUTE, token))
    const stored = await connection.request(subjects.retry(ROUTE, token), GOOD, {
      headers: copy,
      timeout: 5_000,
    })
    await record([{ sequence, outcome: 'retried', token }])
    await remove(STREAMS.features, sequence)
    expect(await look()).toMatchObject({ clean: true, outcomes: { retried: 1 }, retries: { waiting: 1 } })

    const { seq } = stored.json<{ seq: number }>()
    await remove(STREAMS.retries, seq)
    expect(await look()).toMatchObject({
      clean: false,
      lost: [],
      lostRetries: [{ stream: STREAMS.features, sequence, token }],
      retries: { waiting: 0 },
    })
    await record([{ sequence: seq + 1, outcome: 'predicted', token }], STREAMS.retries)
    expect(await look()).toMatchObject({ clean: true, retries: { waiting: 0, outcomes: { predicted: 1 } } })
  })

  test('takes an end that stands in the ledger before its retry', async ({ stage }) => {
    const { publish, record, remove, look } = stage
    const token = eventToken(MODEL, SOURCE, 'e')
    const sequence = await publish('e')
    await record([{ sequence: 2, outcome: 'predicted', token }], STREAMS.retries)
    await record([{ sequence, outcome: 'retried', token }])
    await remove(STREAMS.features, sequence)
    expect(await look()).toMatchObject({ clean: true, lostRetries: [] })
  })

  test('--deep finds results and dead letters that are gone, and outcomes that contradict the ledger', async ({
    stage,
  }) => {
    const { connection, record, remove, look, cli, aRun } = stage
    await aRun()
    const results = await readStream(connection, STREAMS.results)
    const [deadLetter, other] = await readStream(connection, STREAMS.deadLetters)
    const prediction = results.find(({ subject }) => subject.endsWith(eventToken(MODEL, SOURCE, 'good-5')))
    await remove(STREAMS.results, prediction?.sequence ?? 0)
    await remove(STREAMS.deadLetters, deadLetter?.sequence ?? 0)
    const again = results.find(({ subject }) => subject.endsWith(eventToken(MODEL, SOURCE, 'good-7')))
    await connection.request(again?.subject ?? '', 'another', { headers: headers(), timeout: 5_000 })
    expect(await look()).toMatchObject({ clean: true })

    const report = await look({ deep: true })
    expect(report.clean).toBe(false)
    const problems = [
      expect.objectContaining({ problem: 'no-dead-letter', token: deadLetter?.subject.split('.').at(-1) }),
      { problem: 'no-result', stream: STREAMS.features, sequence: 6 },
      expect.objectContaining({
        ...{ problem: 'answered-twice', token: again?.subject.split('.').at(-1) },
        ...{ stream: STREAMS.features, sequence: 8, message: { stream: STREAMS.results, sequence: 25 } },
      }),
    ]
    expect(report.deep?.problems).toEqual(expect.arrayContaining(problems))
    expect(report.deep?.problems).toHaveLength(problems.length)

    // An operator who discards a dead letter says so.
    const token = other?.subject.split('.').at(-1) ?? ''
    await remove(STREAMS.deadLetters, other?.sequence ?? 0)
    await record([{ sequence: Number(other?.headers.get('x-original-seq')), outcome: 'discarded', token }])
    expect((await look({ deep: true })).deep?.problems).toHaveLength(3)
    expect((await cli('--deep')).code).toBe(1)
  })

  test('takes replays for what they are, also with --deep', async ({ stage }) => {
    const { connection, publish, drained, record, remove, look, aRun } = stage
    await aRun()
    const [deadLetter] = await readStream(connection, STREAMS.deadLetters)
    const token = deadLetter?.subject.split('.').at(-1) ?? ''
    const results = await readStream(connection, STREAMS.results)
    const notice = results.find(({ subject }) => subject.endsWith(token))
    const origin = Number(deadLetter?.headers.get('x-original-seq'))
    const replay = await publish('bad-0', GOOD, {
      [HEADERS.token]: token,
      [HEADERS.origin]: deadLetter?.headers.get(HEADERS.origin.toLowerCase()) ?? '',
      [HEADERS.supersedes]: String(notice?.sequence),
    })
    await drained()
    await record([{ sequence: origin, outcome: 'replayed', token }])
    await remove(STREAMS.deadLetters, deadLetter?.sequence ?? 0)
    const report = await look({ deep: true })
    expect(report).toMatchObject({ clean: true, outcomes: { predicted: 22 }, further: { replayed: 1 } })
    expect(report.deep?.problems).toEqual([])
    expect(report.lastSequence).toBe(replay)

    // The next prediction that is gone is not taken for a replay.
    await remove(
      STREAMS.results,
      results.find(({ subject }) => subject.endsWith(eventToken(MODEL, SOURCE, 'good-3')))?.sequence ?? 0,
    )
    expect((await look({ deep: true })).clean).toBe(false)
  })

  test('--deep takes no result that is gone for that of a replay', async ({ stage }) => {
    const { connection, publish, drained, record, remove, look, aRun } = stage
    await aRun()
    const [deadLetter] = await readStream(connection, STREAMS.deadLetters)
    const token = deadLetter?.subject.split('.').at(-1) ?? ''
    const results = await readStream(connection, STREAMS.results)
    const register = results.find(({ subject }) => subject.endsWith(token))
    // A replay whose worker found the register answered: by an earlier copy of it, killed before the ledger.
    const answer = headers()
    for (const name of [HEADERS.contract, HEADERS.token, HEADERS.origin, HEADERS.inputDigest])
      answer.set(name, register?.headers.get(name.toLowerCase()) ?? '')
    answer.set(HEADERS.outcome, 'prediction')
    answer.set(HEADERS.expectedSubjectSequence, String(register?.sequence))
    await connection.request(register?.subject ?? '', '{}', { headers: answer, timeout: 5_000 })
    const replay = await publish('bad-0', GOOD, {
      [HEADERS.token]: token,
      [HEADERS.origin]: deadLetter?.headers.get(HEADERS.origin.toLowerCase()) ?? '',
      [HEADERS.supersedes]: String(register?.sequence),
    })
    await drained()
    const origin = Number(deadLetter?.headers.get('x-original-seq'))
    await record([{ sequence: origin, outcome: 'replayed', token }])
    await remove(STREAMS.deadLetters, deadLetter?.sequence ?? 0)
    expect(await look({ deep: true })).toMatchObject({ clean: true, lastSequence: replay })

    const unrelated = results.find(({ subject }) => subject.endsWith(eventToken(MODEL, SOURCE, 'good-3')))
    await remove(STREAMS.results, unrelated?.sequence ?? 0)
    const report = await look({ deep: true })
    expect(report.deep?.problems).toEqual([
      { problem: 'no-result', stream: STREAMS.features, sequence: expect.any(Number) },
    ])
    expect(report.clean).toBe(false)
  })

  test('--deep counts what RESULTS no longer keeps as expired', async ({ stage }) => {
    const { expired, connection, look, aRun } = stage
    await aRun()
    const config = (await streamInfo(connection, STREAMS.results))?.config
    await requestApi(connection, `STREAM.UPDATE.${STREAMS.results}`, {
      ...config,
      max_age: 1e9,
      duplicate_window: 1e9,
    })
    await expired(STREAMS.results)
    expect(await look({ deep: true })).toMatchObject({
      clean: true,
      deep: { results: 0, expired: 25, problems: [] },
    })
  })

  test('starts from the signed-off floor, and still follows what was open then', async ({ stage }) => {
    const { publish, record, remove, look, cli } = stage
    for (let index = 0; index < 6; index++) await publish(`e-${index}`)
    await record([1, 2, 4].map((sequence) => ({ sequence, outcome: 'predicted' })))
    for (const sequence of [1, 2, 4]) await remove(STREAMS.features, sequence)
    const signed = await cli('--sign-off')
    expect([signed.code, signed.err]).toEqual([0, expect.stringContaining('starts from sequence 6')])

    await publish('e-6')
    // What the floor covers is not read again: this record is not missed, though a full audit misses it.
    await remove(STREAMS.ledger, 1)
    expect(await look()).toMatchObject({ clean: true, sequences: 4, waiting: 4, floor: { sequence: 6 } })
    expect(await look({ full: true })).toMatchObject({
      clean: false,
      lost: [
        [1, 2],
        [4, 4],
      ],
    })

    await remove(STREAMS.features, 3)
    await remove(STREAMS.features, 7)
    expect(await look()).toMatchObject({
      clean: false,
      lost: [
        [3, 3],
        [7, 7],
      ],
    })
  })

  test('looks single sequences up where the broker has too many to list', async ({ stage }) => {
    const { publish, record, remove, look } = stage
    for (let index = 0; index < 5; index++) await publish(`e-${index}`)
    await record([{ sequence: 2, outcome: 'predicted' }])
    for (const sequence of [2, 4]) await remove(STREAMS.features, sequence)
    expect(await look({ maxRemoved: 0 })).toMatchObject({ clean: false, waiting: 3, lost: [[4, 4]] })
  })

  test('reports entries of an earlier FEATURES apart', async ({ stage }) => {
    const { connection, publish, remove, look } = stage
    await publish('e')
    const body = encodeLedgerRecord({
      stream: STREAMS.features,
      epoch: '2001-01-01T00:00:00Z',
      by: 'test',
      entries: [{ sequence: 1, outcome: 'predicted' }],
    })
    await connection.request(subjects.ledger('default'), body)
    await remove(STREAMS.features, 1)
    expect(await look()).toMatchObject({
      clean: false,
      lost: [[1, 1]],
      earlier: [{ stream: STREAMS.features, epoch: '2001-01-01T00:00:00Z', entries: 1 }],
    })
  })

  test('--json prints one object with every count, and --purged needs a reason', async ({ stage }) => {
    const { publish, cli } = stage
    await publish('e')
    const { code, json } = await cli('--json')
    const [report] = json()
    expect(code).toBe(0)
    expect(report).toMatchObject({
      clean: true,
      sequences: 1,
      waiting: 1,
      lost: [],
      lostRetries: [],
      warnings: [],
    })
    expect(Object.keys(report.outcomes)).toContain('already-answered')
    expect(report.tookMs).toBeGreaterThanOrEqual(0)
    expect((await cli('--purged', '1')).code).toBe(2)
    expect((await cli('--purged', 'x', '--reason', 'y')).code).toBe(2)
  })

  test('says that streams are missing', async ({ stage }) => {
    const { connection, cli } = stage
    await requestApi(connection, `STREAM.DELETE.${STREAMS.ledger}`)
    const { code, err } = await cli()
    expect([code, err]).toEqual([1, expect.stringContaining('LEDGER')])
  })
})
