import { randomBytes } from 'node:crypto'
import type { NatsConnection } from '@nats-io/transport-node'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject } from '../../shared/sdk/jetstream/api.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { createSubscriber, type Result } from '../../shared/sdk/subscriber.ts'
import { loadFlights } from './flights.ts'
import { DEMO_MODEL } from './models.ts'
import { type DemoEvent, demoEvents } from './spoiled.ts'
import { type Answer, Tally, type TallyReport } from './tally.ts'

export interface DemoOptions {
  readonly connection: NatsConnection
  /** Flights to replay. */
  readonly count: number
  /** Events that may be without an answer at any time: what keeps the latency from being the length of a queue. */
  readonly maxUnanswered: number
  /** Ends publishing early; what was published is still awaited. */
  readonly signal: AbortSignal
  readonly onProgress: (progress: DemoProgress) => void
}

export interface DemoProgress {
  readonly sent: number
  readonly answered: number
  readonly total: number
}

export interface DemoReport extends TallyReport {
  /** CloudEvents source of this run: each run has its own, so that runs on one broker do not answer for each other. */
  readonly source: string
  /** First publish to last answer. */
  readonly seconds: number
  /** Dead letters of this run that really lie in the dead-letter stream. */
  readonly deadLettersStored: number
}

/** How long the demo waits without a single answer before it calls the rest unanswered, milliseconds. */
const STALL_MS = 90_000
/** How often, and how far apart, it looks for dead letters whose failure notice has come. */
const MAX_LOOKS = 50
const LOOK_EVERY_MS = 100

/** Replays flights as events and sets the answers against what became of the flights. */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const { connection, count, signal } = options
  const source = `demo/flights/${new Date().toISOString().slice(0, 19)}-${randomBytes(3).toString('hex')}`
  const events = demoEvents(await loadFlights({ count }))
  const tally = new Tally()
  const subscriber = await createSubscriber({ connection, model: DEMO_MODEL, include: 'all', from: 'new' })
  const sentAt = new Map<string, number>()
  const answers = collect(subscriber, tally, sentAt)
  const started = performance.now()
  try {
    const progress = (): void =>
      options.onProgress({ sent: sentAt.size, answered: tally.answered, total: events.length })
    await send(events, { ...options, source, tally, sentAt, progress })
    await untilAnswered(tally, progress, signal)
  } finally {
    await subscriber.close()
  }
  await answers
  const seconds = (performance.now() - started) / 1000
  const report = tally.report()
  const deadLettersStored = await countDeadLetters(connection, events, source, report.deadLetters)
  return { ...report, source, seconds, deadLettersStored }
}

interface Sending extends DemoOptions {
  readonly source: string
  readonly tally: Tally
  readonly sentAt: Map<string, number>
  readonly progress: () => void
}

/** Publishes in order of departure, never with more than `maxUnanswered` events open. */
async function send(events: readonly DemoEvent[], sending: Sending): Promise<void> {
  const { connection, source, tally, sentAt, maxUnanswered, signal, progress } = sending
  const producer = await createProducer({ connection, source })
  let failure: unknown
  for (const event of events) {
    while (tally.open >= maxUnanswered && failure === undefined) await tick(progress)
    if (signal.aborted || failure !== undefined) break
    const { id, departedAt } = event.flight
    const token = eventToken(DEMO_MODEL, source, id)
    tally.expect(token, event)
    sentAt.set(token, performance.now())
    producer
      .publish({
        model: DEMO_MODEL,
        id,
        time: departedAt,
        data: event.body,
        ...(event.expiresAt !== undefined && { expiresAt: event.expiresAt }),
      })
      .catch((thrown: unknown) => {
        failure ??= thrown
      })
  }
  await producer.close()
  if (failure !== undefined) throw failure
}

async function collect(
  results: AsyncIterable<Result>,
  tally: Tally,
  sentAt: ReadonlyMap<string, number>,
): Promise<void> {
  for await (const result of results) {
    const sent = sentAt.get(result.token)
    if (sent !== undefined) tally.answer(toAnswer(result, performance.now() - sent))
    result.ack()
  }
}

function toAnswer(result: Result, latencyMs: number): Answer {
  const { token } = result
  if (result.kind === 'failure') return { token, kind: 'failure', reason: result.reason }
  return { token, kind: 'prediction', probability: Number(result.value('probability')), latencyMs }
}

async function untilAnswered(tally: Tally, progress: () => void, signal: AbortSignal): Promise<void> {
  let answered = tally.answered
  let since = performance.now()
  while (tally.open > 0 && performance.now() - since < (signal.aborted ? STALL_MS / 9 : STALL_MS)) {
    await tick(progress)
    if (tally.answered === answered) continue
    answered = tally.answered
    since = performance.now()
  }
  progress()
}

async function tick(progress: () => void): Promise<void> {
  progress()
  await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Looks each expected dead letter up where operators find it; again for a while, because it is stored after its notice. */
async function countDeadLetters(
  connection: NatsConnection,
  events: readonly DemoEvent[],
  source: string,
  told: number,
): Promise<number> {
  const spoiled = events.filter(({ expectedReason }) => expectedReason !== undefined)
  for (let looks = 1; ; looks++) {
    const found = await Promise.all(
      spoiled.map(({ flight }) => {
        const subject = subjects.deadLetter(DEMO_MODEL, eventToken(DEMO_MODEL, source, flight.id))
        return lastOfSubject(connection, STREAMS.deadLetters, subject)
      }),
    )
    const stored = found.filter((deadLetter) => deadLetter !== undefined).length
    if (stored >= told || looks === MAX_LOOKS) return stored
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}
