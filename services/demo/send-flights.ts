import { parseArgs } from 'node:util'
import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { printLine } from '../../shared/runtime/standard-streams.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { runEntry } from './entry.ts'
import { loadFlights } from './flights.ts'
import { DEMO_MODEL } from './models.ts'
import { connectionOf, readRun, runSource } from './run-options.ts'
import { demoEvents } from './spoiled.ts'

/** How long a full stream is waited for: the workers are behind, and this producer has time. */
const FULL_RETRY_MS = 120_000

/** `demo producer`: publishes flights as events, with the rights of a producer and nothing else. */
async function main(): Promise<number> {
  const run = readRun(parseArgs({ options: { flights: { type: 'string' }, run: { type: 'string' } } }).values)
  const events = demoEvents(await loadFlights({ count: run.flights }))
  const source = runSource(run)
  const producer = await createProducer({
    ...connectionOf('pelton demo producer'),
    source,
    fullRetryMs: FULL_RETRY_MS,
  })
  let duplicates = 0
  let failure: unknown
  for (const { flight, body, expiresAt } of events) {
    await producer.ready()
    if (failure !== undefined) break
    producer
      .publish({
        model: DEMO_MODEL,
        id: flight.id,
        time: flight.departedAt,
        data: body,
        ...(expiresAt !== undefined && { expiresAt }),
      })
      .then(
        (receipt) => {
          if (receipt.duplicate && receipt.tries === 1) duplicates++
        },
        (thrown: unknown) => {
          failure ??= thrown
        },
      )
  }
  await producer.close({ timeoutMs: FULL_RETRY_MS })
  if (failure !== undefined) throw failure
  const before = duplicates === 0 ? '' : `, ${duplicates} of them stored by an earlier run`
  printLine(`${events.length} flights accepted from ${source}${before}`)
  return EXIT_CODES.ok
}

await runEntry('producer', main)
