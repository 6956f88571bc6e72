import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { type FlightEvent, loadFlights } from '../../services/demo/flights.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { type Lane, subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS, type TopologyOptions } from '../../shared/sdk/contract/topology.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { deepAudit } from '../kit/audit.ts'
import type { Outcomes, StoredRecord } from '../kit/outcomes.ts'
import { openPipeline, SOURCE } from '../kit/pipeline.ts'
import { MODELS } from '../scenarios/model/models.ts'
import { startCli } from './cli-process.ts'

/** A row of it costs 2 ms of processor time, however many share a run. */
const { name: MODEL, folder: MODELS_FOLDER } = MODELS.deep
/** How many events can be predicted within a deadline: 250 ms where a machine has nothing else to do. */
const ROWS_IN_TIME = 125
/** It can predict 500 a second, and no machine more. */
const ONE_THREAD = { PELTON_THREADS: '1' }

/** An event as it was sent, and until when its prediction is of use. */
interface Sent {
  readonly token: string
  readonly expiresAt: number
}

async function open(topology: Partial<TopologyOptions> = {}) {
  const pipeline = await openPipeline({ topology, models: MODELS_FOLDER })
  const window = new PublishWindow(pipeline.connection)
  const flights = await loadFlights({ count: 2_000 })
  let count = 0
  onTestFinished(async () => {
    window.close()
    await pipeline.close()
  })
  /** As a plain NATS client publishes: past every door. */
  const send = async (lane: Lane, deadlineMs: number): Promise<Sent> => {
    const { features } = flights[count % flights.length] as FlightEvent
    const id = `flight-${count++}`
    const expiresAt = Date.now() + deadlineMs
    const reply = await window.publish({
      subject: subjects.feature({ pool: 'default', model: MODEL, lane }),
      headers: [
        [HEADERS.id, id],
        [HEADERS.source, SOURCE],
        ...(Number.isFinite(deadlineMs)
          ? [[HEADERS.expiryTime, new Date(expiresAt).toISOString()] as const]
          : []),
      ],
      body: Buffer.from(JSON.stringify({ features: { ...features } })),
    })
    expect(reply.kind).toBe('stored')
    return { token: eventToken(MODEL, SOURCE, id), expiresAt }
  }
  const sendMany = (events: number, lane: Lane, deadlineMs: number): Promise<Sent[]> =>
    Promise.all(Array.from({ length: events }, () => send(lane, deadlineMs)))
  const predict = async (events: number): Promise<unknown> => {
    const sent = await sendMany(events, 'normal', Number.POSITIVE_INFINITY)
    return pipeline.settled(sent.map(({ token }) => token))
  }
  /** What an event takes here and now, milliseconds: much more than 2 on a crowded machine. From then on its cost is known. */
  const pace = async (): Promise<number> => {
    for (let round = 0; round < 4; round++) await predict(16)
    const startedAt = performance.now()
    await predict(100)
    return (performance.now() - startedAt) / 100
  }
  return { ...pipeline, sendMany, pace }
}

const number = ({ headers }: StoredRecord, name: string): number => Number(readHeader(headers, name))

/** Reasons of dead letters, each with its count. */
function reasonsOf({ deadLetters }: Outcomes): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { headers } of deadLetters.values()) {
    const reason = readHeader(headers, HEADERS.deadLetterReason) ?? ''
    counts[reason] = (counts[reason] ?? 0) + 1
  }
  return counts
}

test('at three times the load nothing is run after its deadline or in vain, most of what is predicted is in time, and every event has one outcome', async () => {
  const stage = await open()
  const worker = await stage.startWorker(ONE_THREAD)
  const eventMs = await stage.pace()
  const deadlineMs = ROWS_IN_TIME * eventMs
  const before = await stage.countIn(STREAMS.results)
  const sent: Sent[] = []
  const startedAt = performance.now()
  for (let turn = 0; turn < 30; turn++) {
    const lanes: Lane[] = ['high', 'normal', 'normal', 'low']
    for (const some of await Promise.all(lanes.map((lane) => stage.sendMany(8, lane, deadlineMs))))
      sent.push(...some)
    await sleep(Math.max(0, startedAt + (sent.length / 3) * eventMs - performance.now()))
  }
  const outcomes = await stage.settled(sent.map(({ token }) => token))
  const { predictions, failures, deadLetters, ledger } = outcomes
  expect([...failures.keys()].sort()).toEqual([...deadLetters.keys()].sort())
  expect(predictions.size + failures.size).toBe(before + sent.length)
  expect([...ledger.values()].every((ends) => ends.length === 1)).toBe(true)
  const { shed = 0, 'deadline-exceeded': expired = 0, ...others } = reasonsOf(outcomes)
  expect(others).toEqual({})
  expect(shed).toBeGreaterThan(0)

  const predicted = sent.flatMap(({ token, expiresAt }) => {
    const prediction = predictions.get(token)
    return prediction === undefined ? [] : [{ prediction, expiresAt }]
  })
  // Of the run it is known how long after its event was stored it began, and that was sent no later.
  for (const { prediction } of predicted)
    expect(number(prediction, HEADERS.queueMs)).toBeLessThan(deadlineMs + 1)
  const inTime = predicted.filter(({ prediction, expiresAt }) => prediction.storedAt <= expiresAt)
  expect(inTime.length).toBeGreaterThan(predicted.length / 2)

  await stage.endWorkers('SIGTERM')
  const counts = worker.log.find(({ msg }) => msg === 'drained')
  // What was run was predicted, and what was given up was not run.
  expect(counts).toMatchObject({ rows: predictions.size, predicted: predictions.size, shed, expired })
  // It counts them when it hears that they are stored.
  expect(counts?.missed).toBeGreaterThanOrEqual(predicted.length - inTime.length)
  expect((await deepAudit(stage)).clean).toBe(true)
})

test('what was given up says why, is replayed as it is, and is never given up again', async () => {
  const stage = await open()
  await stage.startWorker(ONE_THREAD)
  const deadlineMs = ROWS_IN_TIME * (await stage.pace())
  const sent = await stage.sendMany(400, 'normal', deadlineMs)
  const outcomes = await stage.settled(sent.map(({ token }) => token))
  const { shed = 0 } = reasonsOf(outcomes)
  expect(shed).toBeGreaterThan(0)
  const one = sent.find(({ token }) => {
    const letter = outcomes.deadLetters.get(token)
    return letter !== undefined && readHeader(letter.headers, HEADERS.deadLetterReason) === 'shed'
  }) as Sent
  const notice = JSON.parse(Buffer.from(outcomes.failures.get(one.token)?.body ?? []).toString())
  expect(notice).toMatchObject({
    status: 503,
    reason: 'shed',
    stage: 'batch',
    field: HEADERS.expiryTime,
    value: new Date(one.expiresAt).toISOString(),
    remedy: expect.stringContaining('Replay it'),
    detail: expect.stringMatching(/rows ahead of it take .+ and its run .+, and its deadline is .+ away/),
  })

  // A second load stands in the way of the replay: what has no deadline is answered, whatever comes beside it.
  const args = ['replay', 'start', '--reason', 'shed', '--json', '--rate', '1000', '--ramp', '0']
  const replay = startCli(args, { env: stage.env })
  await replay.until('task ')
  const beside = await stage.sendMany(150, 'high', deadlineMs)
  expect(await replay.ended, replay.err()).toBe(0)
  expect(JSON.parse(replay.out())).toMatchObject({ state: 'done', counts: { predicted: shed, failed: 0 } })
  const after = await stage.settled(
    [...sent, ...beside].map(({ token }) => token),
    { hasReplays: true },
  )
  expect(after.predictions.has(one.token)).toBe(true)
  expect((await deepAudit(stage)).clean).toBe(true)
})

test('above four fifths of DEADLETTERS nothing is given up that could still run, and workers go on', async () => {
  const stage = await open({ deadLettersMaxMessages: 1_000 })
  const window = new PublishWindow(stage.connection)
  const fill = Array.from({ length: 850 }, (_, at) =>
    window.publish({ subject: subjects.deadLetter('other', `t-${at}`), headers: [], body: Buffer.alloc(1) }),
  )
  expect(new Set((await Promise.all(fill)).map(({ kind }) => kind))).toEqual(new Set(['stored']))
  window.close()
  const worker = await stage.startWorker(ONE_THREAD)
  const eventMs = await stage.pace()
  // Some are past their deadline at their turn: those are no choice.
  const sent = await stage.sendMany(140, 'normal', ROWS_IN_TIME * eventMs)
  const tokens = new Set(sent.map(({ token }) => token))
  const { predictions, failures } = await stage.settled([...tokens])
  const reasons = [...failures]
    .filter(([token]) => tokens.has(token))
    .map(([, { headers }]) => readHeader(headers, HEADERS.deadLetterReason))
  expect(new Set(reasons)).not.toContain('shed')
  expect([...tokens].filter((token) => predictions.has(token)).length + reasons.length).toBe(tokens.size)
  expect(worker.log.some(({ msg }) => String(msg).startsWith('pulling stops'))).toBe(false)
})
