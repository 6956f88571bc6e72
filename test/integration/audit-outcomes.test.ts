import { headers } from '@nats-io/transport-node'
import { describe, expect } from 'vitest'
import { loadFlights } from '../../services/demo/flights.ts'
import { audit } from '../../shared/operations/audit/audit.ts'
import {
  archiveDeadLetter,
  readArchived,
  storeArchived,
} from '../../shared/operations/dead-letters/archive.ts'
import { findDeadLetter } from '../../shared/operations/records/dead-letter.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { encodeLedgerRecord, type LedgerEntry } from '../../shared/sdk/contract/ledger.ts'
import { inputDigestStart } from '../../shared/sdk/contract/outcome-digest.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken, payloadDigest } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject, requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'
import { openPipeline, SOURCE, settled } from '../kit/pipeline.ts'
import { staged } from '../kit/staged.ts'
import { runCli } from './cli-process.ts'

const MODEL = 'flight-delay'
const [FLIGHT] = await loadFlights({ count: 1 })
const GOOD = JSON.stringify({ features: FLIGHT?.features })
const BAD = '{"features": {}}'
const RESULT = (id: string): string => subjects.result(MODEL, tokenOf(id))
const LETTER = (id: string): string => subjects.deadLetter(MODEL, tokenOf(id))

function tokenOf(id: string): string {
  return eventToken(MODEL, SOURCE, id)
}

const test = staged(openStage)

async function openStage() {
  const pipeline = await openPipeline({ topology: { ackWaitMs: 3_000 } })
  const { connection } = pipeline

  async function publish(id: string, body = GOOD, extra: Readonly<Record<string, string>> = {}) {
    return pipeline.publish({ id, body, headers: extra })
  }

  /** Waits until the workers have nothing left to do. */
  const drained = (): Promise<unknown> => settled(connection, 0, { hasReplays: true })

  async function find(stream: string, subject: string) {
    const copy = await lastOfSubject(connection, stream, subject)
    if (copy === undefined) throw new Error(`nothing in ${stream} under ${subject}`)
    const kept = Buffer.from(copy.headerBlock).toString().split('\r\n').slice(1)
    const entries = kept.flatMap((line) => {
      const [name = '', ...value] = line.split(': ')
      return name === '' || /^nats-/i.test(name) ? [] : [[name, value.join(': ')] as const]
    })
    return { ...copy, entries, parsed: parseHeaderBlock(copy.headerBlock) }
  }

  /** Stores a message with the headers of another, some of them changed. @returns its sequence */
  async function forge(
    subject: string,
    like: Awaited<ReturnType<typeof find>>,
    change: Readonly<Record<string, string>> = {},
    body: Uint8Array | string = like.body,
  ): Promise<number> {
    const block = headers()
    for (const [name, value] of like.entries) block.set(name, change[name] ?? value)
    for (const [name, value] of Object.entries(change)) block.set(name, value)
    const reply = await connection.request(subject, body, { headers: block, timeout: 5_000 })
    return reply.json<{ seq: number }>().seq
  }

  async function remove(stream: string, seq: number): Promise<void> {
    await requestApi(connection, `STREAM.MSG.DELETE.${stream}`, { seq })
  }

  /** What a worker or an operator would say. */
  async function record(entries: readonly LedgerEntry[]): Promise<void> {
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    const body = encodeLedgerRecord({ stream: STREAMS.features, epoch, by: 'test', entries })
    await connection.request(subjects.ledger('default'), body)
  }

  async function look() {
    return (await audit(connection, { deep: true, full: true, signal: AbortSignal.abort() })).report
  }

  /** Problems as name and sequence, sorted. */
  async function problems(): Promise<string[]> {
    const { deep } = await look()
    return (deep?.problems ?? [])
      .map(({ problem, stream, sequence }) => `${problem} ${stream} ${sequence}`)
      .sort()
  }

  /** Sends the event of a dead letter again, as a replay does. */
  async function replay(id: string, body: string): Promise<void> {
    const [notice, letter] = [
      await find(STREAMS.results, RESULT(id)),
      await find(STREAMS.deadLetters, LETTER(id)),
    ]
    await publish(id, body, {
      [HEADERS.token]: tokenOf(id),
      [HEADERS.origin]: letter.parsed.get(HEADERS.origin.toLowerCase()) ?? '',
      [HEADERS.supersedes]: String(notice.sequence),
    })
    await drained()
  }

  async function aRun(good: number, bad: number): Promise<void> {
    await pipeline.startWorker()
    for (let index = 1; index <= good; index++) await publish(`good-${index}`)
    for (let index = 1; index <= bad; index++) await publish(`bad-${index}`, BAD)
    await drained()
  }

  const cli = (...args: string[]) => runCli(['audit', ...args], pipeline)
  return { ...pipeline, publish, drained, find, forge, remove, record, look, problems, replay, aRun, cli }
}

describe.concurrent('a deep audit', () => {
  test('names what the ledger does not explain, each by the sequence of its event', async ({ stage }) => {
    const { connection, publish, drained, find, forge, remove, problems, cli, aRun } = stage
    const early = await connection.request(RESULT('late'), '?', { headers: headers(), timeout: 5_000 })
    expect(early.json<{ seq: number }>().seq).toBe(1)
    await aRun(8, 3)
    await publish('late')
    await drained()
    expect(await problems()).toEqual(['unreadable-outcome FEATURES 12'])

    const letter = await find(STREAMS.deadLetters, LETTER('bad-1'))
    await forge(LETTER('good-1'), letter, { [HEADERS.token]: tokenOf('good-1') })
    await forge(RESULT('good-2'), await find(STREAMS.results, RESULT('good-2')), {}, '{}')
    const third = await find(STREAMS.results, RESULT('good-3'))
    await remove(STREAMS.results, third.sequence)
    await forge(RESULT('good-3'), third, {}, '{"value": 1}')
    const fourth = await find(STREAMS.results, RESULT('good-4'))
    await remove(STREAMS.results, fourth.sequence)
    await forge(RESULT('good-4'), fourth, { [HEADERS.outcome]: 'dead-letter' })
    const notice = await find(STREAMS.results, RESULT('bad-1'))
    await forge(RESULT('bad-1'), notice, { [HEADERS.time]: '2026-01-01T00:00:00.000Z' })
    const prediction = await find(STREAMS.results, RESULT('good-5'))
    const origin = prediction.parsed.get(HEADERS.origin.toLowerCase()) ?? ''
    const told = [HEADERS.token, HEADERS.origin, HEADERS.inputDigest].map(
      (name) => [name, notice.parsed.get(name.toLowerCase()) ?? ''] as const,
    )
    const second = await find(STREAMS.results, RESULT('bad-2'))
    await forge(RESULT('bad-2'), prediction, {
      ...Object.fromEntries(told),
      [HEADERS.token]: tokenOf('bad-2'),
      [HEADERS.origin]: second.parsed.get(HEADERS.origin.toLowerCase()) ?? '',
    })
    await forge(RESULT('never'), prediction, {
      ...{ [HEADERS.token]: tokenOf('never'), [HEADERS.origin]: origin.replace(/\d+$/, '4711') },
    })
    const edited = await find(STREAMS.deadLetters, LETTER('bad-3'))
    await forge(LETTER('bad-3'), edited, {}, 'another payload')

    expect(await problems()).toEqual(
      [
        'both FEATURES 1',
        'answered-twice FEATURES 2',
        'other-digest FEATURES 3',
        'other-outcome FEATURES 4',
        'noticed-twice FEATURES 9',
        'other-outcome FEATURES 10',
        'other-digest FEATURES 11',
        'unreadable-outcome FEATURES 12',
        'foreign FEATURES 4711',
      ].sort(),
    )
    expect((await cli()).code).toBe(0)
    const deep = await cli('--deep')
    expect([deep.code, deep.out]).toEqual([1, expect.stringMatching(/^9 contradictions: 12 events/)])
    expect(deep.out).toContain(`token ${tokenOf('never')}: the ledger knows nothing of what is stored`)
  })

  test('raises no alarm over replays that fail, succeed, and are left, with their hold and without', async ({
    stage,
  }) => {
    const { connection, find, record, remove, look, problems, replay, aRun } = stage
    await aRun(2, 3)
    await replay('bad-1', BAD)
    await replay('bad-1', BAD)
    await replay('bad-2', GOOD)
    await replay('bad-3', GOOD)
    const left = await find(STREAMS.deadLetters, LETTER('bad-2'))
    const hold = { by: { kind: 'replay', id: 'x', who: 'test' }, sequence: left.sequence }
    await connection.request(`$KV.pelton-replays.held.${tokenOf('bad-2')}`, JSON.stringify(hold))
    const ended = await find(STREAMS.deadLetters, LETTER('bad-3'))
    await record([{ sequence: 5, outcome: 'replayed', token: tokenOf('bad-3') }])
    await remove(STREAMS.deadLetters, ended.sequence)
    expect(await look()).toMatchObject({
      clean: true,
      deep: { results: 9, deadLetters: 2, withoutDigest: 0 },
    })
    await requestApi(connection, 'STREAM.PURGE.KV_pelton-replays', {})
    expect(await problems()).toEqual([])
  })

  test('takes an id that is used again, once its notice has expired, for another event', async ({
    stage,
  }) => {
    const { connection, publish, drained, find, look, problems, forge, aRun } = stage
    await aRun(0, 1)
    await publish('bad-2', BAD)
    await drained()
    const other = await find(STREAMS.results, RESULT('bad-2'))
    const config = (await streamInfo(connection, STREAMS.results))?.config
    // As RESULTS is once it is full: it has dropped its oldest.
    await requestApi(connection, `STREAM.PURGE.${STREAMS.results}`, { seq: other.sequence })
    await publish('bad-1')
    await drained()
    await requestApi(connection, `STREAM.UPDATE.${STREAMS.results}`, { ...config, max_msgs: 2 })
    expect(await look()).toMatchObject({ clean: true, deep: { results: 2, deadLetters: 2 } })
    await forge(LETTER('never'), await find(STREAMS.deadLetters, LETTER('bad-2')), {
      [HEADERS.token]: tokenOf('never'),
    })
    expect(await problems()).toEqual(['foreign FEATURES 2'])
  })

  test('knows an imported dead letter again, and counts those of another broker until somebody signs', async ({
    stage,
  }) => {
    const { connection, find, remove, record, look, cli, aRun } = stage
    await aRun(1, 1)
    const letter = await findDeadLetter(connection, { token: tokenOf('bad-1') })
    if (letter === undefined) throw new Error('no dead letter')
    const lineOf = (change: object): Uint8Array =>
      Buffer.from(JSON.stringify({ ...archiveDeadLetter(letter), ...change }))
    await record([{ sequence: 2, outcome: 'discarded', token: letter.token }])
    await remove(STREAMS.deadLetters, letter.sequence)
    const window = new PublishWindow(connection)
    expect(await storeArchived(window, readArchived(lineOf({})))).toBe('stored')
    expect(await look()).toMatchObject({ clean: true, deep: { deadLetters: 1, problems: [] } })

    const token = tokenOf('of another broker')
    const origin = 'FEATURES 2020-01-01T00:00:00Z 7'
    const kept = archiveDeadLetter(letter).headers
    const foreign = lineOf({ token, headers: { ...kept, 'pelton-token': token, 'pelton-origin': origin } })
    expect(await storeArchived(window, readArchived(foreign))).toBe('stored')
    window.close()
    const report = await look()
    expect(report).toMatchObject({ clean: false, deep: { unproven: 1, problems: [] } })
    expect(report.warnings).toEqual([expect.stringMatching(/^1 results or dead letters cannot be proven/)])
    expect((await cli('--deep', '--sign-off')).code).toBe(0)
    expect((await cli('--deep')).out).toMatch(/^Every event is accounted for: 2 events/)
    expect((await find(STREAMS.deadLetters, LETTER('bad-1'))).sequence).toBeGreaterThan(letter.sequence)
  })

  test('judges the results of an earlier FEATURES by the records of that one', async ({ stage }) => {
    const { broker, connection, endWorkers, find, remove, forge, look, problems, cli, aRun } = stage
    await aRun(3, 1)
    await endWorkers('SIGTERM')
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    await broker.provision()
    expect((await cli('--sign-off')).code).toBe(0)
    expect(await look()).toMatchObject({ clean: true, deep: { results: 4, problems: [], unproven: 0 } })
    const first = await find(STREAMS.results, RESULT('good-1'))
    await remove(STREAMS.results, first.sequence)
    await forge(RESULT('good-1'), first, {}, '{}')
    await remove(STREAMS.results, (await find(STREAMS.results, RESULT('good-2'))).sequence)
    expect(await problems()).toEqual(['no-result FEATURES 2', 'other-digest FEATURES 1'])
    const { deep } = await look()
    expect(deep?.problems.every(({ epoch }) => epoch !== undefined)).toBe(true)
  })

  test('calls unproven what is older than the LEDGER, and nothing that it knows', async ({ stage }) => {
    const { broker, connection, find, forge, look, record, aRun } = stage
    await aRun(2, 0)
    await requestApi(connection, `STREAM.DELETE.${STREAMS.ledger}`)
    await broker.provision()
    await record([1, 2].map((sequence) => ({ sequence, outcome: 'predicted' })))
    expect(await look()).toMatchObject({ clean: true, deep: { withoutDigest: 2, unproven: 0 } })
    const like = await find(STREAMS.results, RESULT('good-1'))
    const origin = like.parsed.get(HEADERS.origin.toLowerCase()) ?? ''
    const sequence = await forge(RESULT('never'), like, {
      ...{ [HEADERS.token]: tokenOf('never'), [HEADERS.origin]: origin.replace(/\d+$/, '9') },
    })
    expect((await look()).deep?.problems).toMatchObject([{ problem: 'foreign', message: { sequence } }])
    await requestApi(connection, `STREAM.DELETE.${STREAMS.ledger}`)
    await broker.provision()
    await record([1, 2].map((of) => ({ sequence: of, outcome: 'predicted' })))
    expect(await look()).toMatchObject({ clean: false, deep: { unproven: 1, problems: [] } })
  })

  test('holds what waits in RETRIES against what was retried, and lets an operator sign for a dead letter', async ({
    stage,
  }) => {
    const { connection, find, publish, record, remove, problems, cli, aRun } = stage
    await aRun(0, 1)
    await remove(STREAMS.deadLetters, (await find(STREAMS.deadLetters, LETTER('bad-1'))).sequence)
    expect(await problems()).toEqual(['no-dead-letter FEATURES 1'])
    expect((await cli('--deep', '--purged', '1', '--reason', 'a trial')).code).toBe(0)

    await stage.endWorkers('SIGTERM')
    const token = await publish('again')
    const route = { pool: 'default', model: MODEL, lane: 'normal' } as const
    const copy = headers()
    copy.set(HEADERS.schedule, `@at ${new Date(Date.now() + 3_600_000).toISOString()}`)
    copy.set(HEADERS.scheduleTarget, subjects.due(route, token))
    copy.set(HEADERS.token, token)
    await connection.request(subjects.retry(route, token), 'another payload', {
      headers: copy,
      timeout: 5_000,
    })
    await record([{ sequence: 2, outcome: 'retried', token, digest: 7 }])
    await remove(STREAMS.features, 2)
    expect(await problems()).toEqual(['other-digest RETRIES 1'])

    // One that is as it was retried hides no other: of another route, or before it under the same subject.
    const start = inputDigestStart(payloadDigest(Buffer.from('as it was'))) ?? 0
    await record([{ sequence: 2, outcome: 'retried', token, digest: start }])
    await remove(STREAMS.retries, 1)
    copy.delete(HEADERS.schedule)
    copy.delete(HEADERS.scheduleTarget)
    const low = subjects.due({ ...route, lane: 'low' }, token)
    const put = [
      [low, 'another payload'],
      [subjects.due(route, token), 'a third'],
      [subjects.due(route, token), 'as it was'],
    ] as const
    for (const [subject, body] of put)
      await connection.request(subject, body, { headers: copy, timeout: 5_000 })
    expect(await problems()).toEqual(['other-digest RETRIES 2', 'other-digest RETRIES 3'])
  })
})
