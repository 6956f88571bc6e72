import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, vi } from 'vitest'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { HEADERS, type HeaderEntry, readHeader } from '../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli, startCli } from './cli-process.ts'
import { BAD, EXPIRED, FAST, GOOD, MODEL, openReplayStage } from './replay-stage.ts'

const WITH_REPLAYS = { hasReplays: true }

let models: string

beforeAll(async () => {
  models = await mkdtemp(join(tmpdir(), 'pelton-replay-'))
  await cp(DEMO_MODELS, models, { recursive: true })
  await cp(join(DEMO_MODELS, MODEL), join(models, 'late-model'), { recursive: true })
})

afterAll(() => rm(models, { recursive: true, force: true }))

const test = staged(openStage)

async function openStage() {
  const stage = await openReplayStage()
  const publish = (id: string, body: string, extra: readonly HeaderEntry[] = [], model = MODEL) =>
    stage.publish(id, body, extra, model)

  async function expiredEvents(count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, (_item, index) => `expired-${index}`)
    const tokens = await Promise.all(ids.map((id) => publish(id, GOOD, [EXPIRED])))
    await stage.hasDeadLetters(count)
    return tokens
  }

  return { ...stage, publish, expiredEvents, heldKeys: () => stage.keptOf('held') }
}

describe.concurrent('a replay', () => {
  test('turns expired events into predictions, under their own identity, and clears the dead letters', async ({
    stage,
  }) => {
    const { connection, env, startWorker, expiredEvents, replayedInLedger, heldKeys } = stage
    await startWorker()
    const tokens = await expiredEvents(20)
    const plan = await runCli(['replay', 'plan', '--json'], { env })
    expect(plan.json()[0], plan.err).toMatchObject({
      matching: 20,
      sent: 20,
      byReason: { 'deadline-exceeded': 20 },
      deadlinesDropped: 20,
    })
    const { code, err, json } = await runCli(['replay', 'start', '--all', '--json', ...FAST], { env })
    expect(code, err).toBe(0)
    expect(err).toContain('20 had a deadline: they are sent without')
    const [task] = json()
    expect(task).toMatchObject({ state: 'done', by: 'ops', counts: { predicted: 20, failed: 0 } })
    const outcomes = await readOutcomes(connection, WITH_REPLAYS)
    expect([...outcomes.predictions.keys()].sort()).toEqual([...tokens].sort())
    expect(outcomes.deadLetters.size).toBe(0)
    expect((await replayedInLedger()).sort((a, b) => a - b)).toEqual(tokens.map((_token, i) => i + 1))
    expect(await heldKeys()).toEqual([])
    expect((await runCli(['replay', 'list'], { env })).out).toContain('20 predicted')
    const again = await runCli(['replay', 'start', '--all'], { env })
    expect([again.code, again.err]).toEqual([0, expect.stringContaining('nothing was sent')])
  })

  test('answers events of a model that came late; those that fail again are new dead letters with their history', async ({
    stage,
  }) => {
    const { connection, env, startWorker, endWorkers, publish, lastIn, hasDeadLetters } = stage
    await startWorker()
    await publish('late', GOOD, [], 'late-model')
    const never = await publish('never', GOOD, [], 'no-model')
    await hasDeadLetters(2)
    const before = await lastIn(STREAMS.deadLetters)
    await endWorkers()
    await startWorker({}, { models })
    const { code, json, err } = await runCli(['replay', 'start', '--all', '--json', ...FAST], { env })
    expect(code, err).toBe(0)
    expect(json()[0]).toMatchObject({ counts: { predicted: 1, failed: 1 } })
    const { deadLetters: left, predictions } = await readOutcomes(connection, WITH_REPLAYS)
    expect([predictions.size, left.size]).toEqual([1, 1])
    const letter = left.get(never)
    expect(letter?.sequence).toBeGreaterThan(before)
    expect(readHeader(letter?.headers ?? new Map(), HEADERS.history)?.split('; ')).toHaveLength(2)
    expect(readHeader(letter?.headers ?? new Map(), HEADERS.replay)).toBe(json()[0].id)
    const third = await runCli(['replay', 'start', '--json', '--max-failures', '1'], { env })
    expect(third.err).toContain('nothing was sent')
  })

  test('leaves alone what would fail again, unless it is asked for by name', async ({ stage }) => {
    const { env, startWorker, publish, hasDeadLetters } = stage
    await startWorker()
    await publish('bad', BAD)
    await hasDeadLetters(1)
    const plan = await runCli(['replay', 'plan'], { env })
    expect(plan.out).toMatch(/1 dead letters match, 0 would be sent.*schema-mismatch: would fail again/s)
    const asked = await runCli(['replay', 'start', '--reason', 'schema-mismatch', '--json', ...FAST], { env })
    expect(asked.json()[0], asked.err).toMatchObject({ counts: { predicted: 0, failed: 1 } })
  })

  test('sends to the version that was asked for, and no more than the cap', async ({ stage }) => {
    const { connection, env, startWorker, expiredEvents } = stage
    await startWorker({}, { models: DEMO_MODELS })
    await expiredEvents(12)
    const args = ['replay', 'start', '--all', '--json', '--model-version', '1', '--cap', '5', ...FAST]
    const { json, err } = await runCli(args, { env })
    expect(json()[0], err).toMatchObject({ state: 'done', counts: { predicted: 5 } })
    const { predictions, deadLetters: left } = await readOutcomes(connection, WITH_REPLAYS)
    expect(predictions.size).toBe(5)
    expect(left.size).toBe(7)
    for (const { headers } of predictions.values())
      expect(readHeader(headers, HEADERS.modelVersion)).toBe('1')
  })

  test('pauses by itself when too many fail again, and goes on when told to', async ({ stage }) => {
    const { env, startWorker, publish, lastIn, hasDeadLetters } = stage
    await startWorker()
    await Promise.all(Array.from({ length: 60 }, (_item, index) => publish(`bad-${index}`, BAD)))
    await hasDeadLetters(60)
    const args = ['replay', 'start', '--reason', 'schema-mismatch', '--json', '--in-flight', '5', ...FAST]
    const { json, code } = await runCli(args, { env })
    expect(code).toBe(1)
    const [task] = json()
    expect(task.state).toBe('paused')
    expect(task.note).toMatch(/paused by itself: (\d+) of the last \1 failed again/)
    expect(task.counts.failed).toBeGreaterThanOrEqual(20)
    expect(task.counts.failed).toBeLessThan(60)
    const resumed = await runCli(['replay', 'resume', task.id, '--max-failure-share', '1', '--json'], { env })
    expect(resumed.json()[0], resumed.err).toMatchObject({ state: 'done', counts: { failed: 60 } })
    expect(await lastIn(STREAMS.features)).toBe(120)
  })

  test('pauses at Ctrl-C and when told to, is resumed, and is cancelled', async ({ stage }) => {
    const { connection, env, startWorker, lastIn, expiredEvents, heldKeys } = stage
    await startWorker()
    await expiredEvents(400)
    const slow = startCli(['replay', 'start', '--all', '--rate', '4', '--ramp', '0'], { env, input: '' })
    await slow.until('task ')
    const id = /task (\S+)/.exec(slow.err())?.[1] ?? ''
    await vi.waitFor(async () => expect(await lastIn(STREAMS.features)).toBeGreaterThan(403), PATIENT)
    slow.child.kill('SIGINT')
    expect(await slow.ended).toBe(1)
    expect(slow.out()).toContain('paused by Ctrl-C')

    const resumed = startCli(['replay', 'resume', id], { env, input: '' })
    const sent = await lastIn(STREAMS.features)
    await vi.waitFor(async () => expect(await lastIn(STREAMS.features)).toBeGreaterThan(sent + 3), PATIENT)
    const rival = await runCli(['replay', 'resume', id], { env })
    expect([rival.code, rival.err]).toEqual([1, expect.stringContaining('another process runs this replay')])
    const paused = await runCli(['replay', 'pause', id, '--by', 'boss'], { env })
    expect([paused.code, paused.out]).toEqual([0, expect.stringContaining('paused by boss')])
    expect(await resumed.ended).toBe(1)

    const cancelled = await runCli(['replay', 'cancel', id], { env })
    expect([cancelled.code, cancelled.out]).toEqual([0, expect.stringContaining('cancelled by ops')])
    expect((await runCli(['replay', 'resume', id], { env })).err).toContain('this replay is cancelled')
    expect(await heldKeys()).toEqual([])
    const { predictions, deadLetters: left } = await readOutcomes(connection, WITH_REPLAYS)
    expect(predictions.size + left.size).toBe(400)
    expect(await lastIn(STREAMS.features)).toBe(400 + predictions.size)
  })

  test('waits for workers, and removes what was answered meanwhile', async ({ stage }) => {
    const { env, startWorker, endWorkers, countIn, lastIn, expiredEvents } = stage
    await startWorker()
    const [token = ''] = await expiredEvents(3)
    await endWorkers()
    const waiting = startCli(['replay', 'start', '--all', '--json', ...FAST], { env, input: '' })
    await vi.waitFor(async () => expect(await countIn(STREAMS.features)).toBe(3), PATIENT)
    const id = /task (\S+)/.exec(waiting.err())?.[1] ?? ''
    const discard = await runCli(['dead-letters', 'discard', token, '--because', 'x', '--yes'], { env })
    expect([discard.code, discard.err]).toEqual([1, expect.stringContaining(`replay ${id} of ops has it`)])
    waiting.child.kill('SIGKILL')
    await waiting.ended
    await startWorker()
    await vi.waitFor(async () => expect(await countIn(STREAMS.features)).toBe(0), PATIENT)
    expect(await countIn(STREAMS.deadLetters)).toBe(3)
    const resumed = await runCli(['replay', 'resume', id, '--json'], { env })
    expect(resumed.json()[0], resumed.err).toMatchObject({ state: 'done', counts: { predicted: 3 } })
    expect(await countIn(STREAMS.deadLetters)).toBe(0)
    expect(await lastIn(STREAMS.features)).toBe(6)
  })
})

describe.concurrent('dead letters for ops', () => {
  test('lets a replay or a discard have each dead letter, never both', async ({ stage }) => {
    const { connection, env, startWorker, expiredEvents, heldKeys } = stage
    await startWorker()
    await expiredEvents(400)
    const args = ['dead-letters', 'discard', '--reason', 'deadline-exceeded', '--because', 'x', '--yes']
    const [replay, discard] = await Promise.all([
      runCli(['replay', 'start', '--all', '--json', ...FAST], { env }),
      runCli(args, { env }),
    ])
    const [, removed = '0'] = /^([\d,]+) discarded/.exec(discard.out) ?? []
    const [task = { counts: { predicted: 0 } }] = replay.out === '' ? [] : replay.json()
    expect(task.counts.predicted + Number(removed), replay.err + discard.err).toBe(400)
    const { predictions, ledger, deadLetters: left } = await readOutcomes(connection, WITH_REPLAYS)
    expect([predictions.size, left.size]).toEqual([task.counts.predicted, 0])
    for (let sequence = 1; sequence <= 400; sequence++) {
      const ops = ledger.get(sequence)?.filter((how) => how === 'replayed' || how === 'discarded')
      expect(ops).toHaveLength(1)
    }
    expect(await heldKeys()).toEqual([])
  })

  test('finds by every criterion, and counts by model, reason and description', async ({ stage }) => {
    const { env, startWorker, publish, hasDeadLetters } = stage
    await startWorker()
    const person: HeaderEntry = [HEADERS.subject, 'person%2F4711']
    await publish('one', BAD, [person, ['ce-partitionkey', 'k1']])
    await publish('two', BAD)
    await publish('three', GOOD, [EXPIRED])
    await hasDeadLetters(3)
    const ids = async (...args: string[]): Promise<string[]> => {
      const { out, err, json } = await runCli(['dead-letters', 'list', '--json', ...args], { env })
      expect(err).not.toContain('error')
      return out === '' ? [] : json().map(({ id }: { id: string }) => id)
    }
    expect((await ids('--reason', 'schema-mismatch')).sort()).toEqual(['one', 'two'])
    expect(await ids('--subject', 'person/4711')).toEqual(['one'])
    expect(await ids('--key', 'k1')).toEqual(['one'])
    expect(await ids('--id', 'two')).toEqual(['two'])
    expect(await ids('--text', 'DEADLINE PASSED')).toEqual(['three'])
    expect(await ids('--until', '1h')).toEqual([])
    expect(await ids('--model', 'other')).toEqual([])
    const { json } = await runCli(['dead-letters', 'count', '--json'], { env })
    expect(json()).toMatchObject([
      { reason: 'schema-mismatch', count: 2, model: 'flight-delay' },
      { count: 1 },
    ])
    const [{ first, last }] = json()
    expect(Date.parse(first)).toBeLessThanOrEqual(Date.parse(last))
  })

  test('exports whole, discards with a reason, and imports what was exported', async ({ stage }) => {
    const { broker, connection, env, startWorker, countIn, expiredEvents, heldKeys } = stage
    await startWorker()
    const tokens = await expiredEvents(5)
    const [token = ''] = tokens
    const file = join(models, `${broker.port}.jsonl`)
    expect((await runCli(['dead-letters', 'export', file], { env })).err).toContain('5 dead letters written')
    const before = await readStream(connection, STREAMS.deadLetters)
    const discard = ['dead-letters', 'discard', '--reason', 'deadline-exceeded', '--because', 'a test']
    expect((await runCli(discard, { env })).out).toContain('5 dead letters would be discarded')
    expect(await countIn(STREAMS.deadLetters)).toBe(5)
    const done = await runCli([...discard, '--yes'], { env })
    expect([done.code, done.out]).toEqual([0, '5 discarded, 0 gone meanwhile, 0 held by others\n'])
    const { ledger, failures } = await readOutcomes(connection, WITH_REPLAYS)
    expect(ledger.get(1)).toEqual(['dead-lettered', 'discarded'])
    expect(failures.size).toBe(5)
    const { json } = await runCli(['dead-letters', 'history', '--json'], { env })
    expect(json()).toMatchObject([
      { what: 'discarded', by: 'ops', because: 'a test', counts: { removed: 5 } },
    ])
    expect(await heldKeys()).toEqual([])

    expect((await runCli(['dead-letters', 'import', file], { env })).out).toMatch(
      /^5 stored, 0 there already/,
    )
    expect((await runCli(['dead-letters', 'import', file], { env })).out).toMatch(
      /^0 stored, 5 there already/,
    )
    const after = await readStream(connection, STREAMS.deadLetters)
    const plain = (records: typeof before) =>
      records.map(({ subject, headers, body }) => [
        subject,
        [...headers].filter(([name]) => !name.startsWith('nats-')),
        Buffer.from(body).toString(),
      ])
    expect(plain(after)).toEqual(plain(before))
    const replayed = await runCli(['replay', 'start', '--all', '--json', ...FAST], { env })
    expect(replayed.json()[0], replayed.err).toMatchObject({ counts: { predicted: 5 } })
    expect((await runCli(['dead-letters', 'import', file], { env })).out).toContain(
      '5 answered by a prediction',
    )
    await writeFile(file, '{"token": "x"}\n')
    const bad = await runCli(['dead-letters', 'import', file], { env })
    expect([bad.code, bad.err]).toEqual([
      1,
      expect.stringContaining('line 1: this is no archived dead letter'),
    ])
    expect((await runCli(['dead-letters', 'show', token], { env })).code).toBe(1)
  })

  test("purges a person's dead letters, and the record names nobody", async ({ stage }) => {
    const { connection, env, startWorker, publish, hasDeadLetters } = stage
    await startWorker()
    await publish('mine', BAD, [[HEADERS.subject, 'jane@example.org']])
    await publish('other', BAD, [[HEADERS.subject, 'john@example.org']])
    await hasDeadLetters(2)
    const args = [
      'dead-letters',
      'purge',
      '--subject',
      'jane@example.org',
      '--because',
      'request 12',
      '--yes',
    ]
    expect((await runCli(args, { env })).out).toContain('1 purged')
    const left = await readStream(connection, STREAMS.deadLetters)
    expect(left.map(({ headers }) => readHeader(headers, HEADERS.subject))).toEqual(['john@example.org'])
    const { out } = await runCli(['dead-letters', 'history', '--json'], { env })
    expect(JSON.parse(out)).toMatchObject({ what: 'purged', because: 'request 12', isComplete: true })
    expect(out).not.toContain('jane')
    const records = await readStream(connection, 'KV_pelton-replays')
    for (const { body } of records) expect(Buffer.from(body).toString()).not.toContain('jane')
    expect((await readOutcomes(connection, WITH_REPLAYS)).ledger.get(1)).toEqual(['dead-lettered', 'purged'])
  })
})
