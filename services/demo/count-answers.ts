import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { NatsConnection } from '@nats-io/transport-node'
import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { noteLine, printLine } from '../../shared/runtime/standard-streams.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { createSubscriber, type Result } from '../../shared/sdk/subscriber.ts'
import { areaUnderCurve } from './auc.ts'
import { runEntry } from './entry.ts'
import { loadFlights } from './flights.ts'
import { DEMO_MODEL } from './models.ts'
import { connectionOf, type DemoRun, readRun, runSource } from './run-options.ts'
import { demoEvents } from './spoiled.ts'
import { Tally, type TallyReport } from './tally.ts'

/** How long nothing may be answered before the rest counts as unanswered, milliseconds. */
const STALL_MS = 180_000
const TELL_MS = 1_000

/** `demo subscriber`: waits for the answer to each flight of a run, with the rights of a subscriber and nothing else. */
async function main(): Promise<number> {
  const run = readRun(parseArgs({ options: { flights: { type: 'string' }, run: { type: 'string' } } }).values)
  const tally = new Tally()
  // The same flights as the producer's: whom to wait for is known without a word between the two.
  for (const event of demoEvents(await loadFlights({ count: run.flights })))
    tally.expect(eventToken(DEMO_MODEL, runSource(run), event.flight.id), event)
  const connection = await connectBroker(connectionOf('pelton demo subscriber'))
  try {
    await collect(connection, tally)
  } finally {
    await connection.close()
  }
  return summarize(run, tally.report())
}

/**
 * Counts until every flight is answered. By a durable consumer: one without a name has a single copy, and would be gone
 * with the broker that holds it.
 */
async function collect(connection: NatsConnection, tally: Tally): Promise<void> {
  const durable = `demo-${randomUUID()}`
  const results = await createSubscriber({
    connection,
    model: DEMO_MODEL,
    include: 'all',
    from: 'all',
    durable,
  })
  try {
    const counted = count(results, tally)
    await Promise.race([untilAnswered(tally), counted])
    await results.close()
    await counted
  } finally {
    await requestApi(connection, `CONSUMER.DELETE.${STREAMS.results}.sub-${durable}`)
  }
}

/** Each stored result once: one that is delivered again, after a lost acknowledgement, is no second answer. */
async function count(results: AsyncIterable<Result>, tally: Tally): Promise<void> {
  const seen = new Set<number>()
  for await (const result of results) {
    const { token, sequence } = result
    if (!seen.has(sequence)) {
      if (result.kind === 'failure') tally.answer({ token, kind: 'failure', reason: result.reason })
      else {
        const probability = Number(result.value('probability'))
        tally.answer({ token, kind: 'prediction', probability, latencyMs: Number.NaN })
      }
    }
    seen.add(sequence)
    result.ack()
  }
}

async function untilAnswered(tally: Tally): Promise<void> {
  let answered = -1
  let since = performance.now()
  while (tally.open > 0 && performance.now() - since < STALL_MS) {
    if (tally.answered !== answered) {
      answered = tally.answered
      since = performance.now()
      noteLine(`${answered} of ${answered + tally.open} flights answered`)
    }
    await sleep(TELL_MS)
  }
}

/** Prints the account. @returns the exit code: 0 only if every flight has the one answer it must have */
function summarize(run: DemoRun, report: TallyReport): number {
  const { sent, predictions, deadLetters, unanswered, doubled, unexpected, scores, late } = report
  const closes = sent === predictions + deadLetters && doubled === 0 && unexpected === 0
  const reasons = Object.entries(report.reasons).map(([reason, times]) => `${reason} ${times}`)
  const canRank = late.includes(true) && late.includes(false)
  printLine(
    [
      `flights of ${runSource(run)}`,
      `  counts        ${sent} in = ${predictions} predictions + ${deadLetters} dead letters${closes ? '' : '  DOES NOT CLOSE'}`,
      `  amiss         ${unanswered} unanswered, ${doubled} doubled, ${unexpected} unexpected`,
      `  dead letters  ${reasons.join(', ') || 'none'}`,
      `  AUC           ${canRank ? areaUnderCurve(scores, late).toFixed(4) : 'too few flights'}`,
    ].join('\n'),
  )
  return closes ? EXIT_CODES.ok : EXIT_CODES.failed
}

await runEntry('subscriber', main)
