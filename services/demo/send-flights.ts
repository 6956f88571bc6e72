import { parseArgs } from 'node:util'
import type { NatsConnection } from '@nats-io/transport-node'
import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { printLine } from '../../shared/runtime/standard-streams.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { runEntry } from './entry.ts'
import { loadFlights } from './flights.ts'
import { DEMO_MODEL } from './models.ts'
import { connectionOf, readRun, runSource } from './run-options.ts'
import { type DemoEvent, demoEvents } from './spoiled.ts'

/** How long a full stream is waited for: the workers are behind, and this producer has time. */
const FULL_RETRY_MS = 120_000

/** `demo producer`: publishes flights as events, with the rights of a producer and nothing else. */
async function main(): Promise<number> {
  const run = readRun(parseArgs({ options: { flights: { type: 'string' }, run: { type: 'string' } } }).values)
  const events = demoEvents(await loadFlights({ count: run.flights }))
  const options = { ...connectionOf('pelton demo producer'), quorumOf: STREAMS.features }
  const connection = await connectBroker(options)
  try {
    return await send(connection, events, runSource(run))
  } finally {
    await connection.close()
  }
}

async function send(
  connection: NatsConnection,
  events: readonly DemoEvent[],
  source: string,
): Promise<number> {
  const patience = { fullRetryMs: FULL_RETRY_MS, admissionWaitMs: FULL_RETRY_MS }
  const producer = await createProducer({ connection, source, ...patience })
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
