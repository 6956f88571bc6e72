import { afterAll, expect, onTestFinished, test } from 'vitest'
import { startTestCluster } from '../kit/cluster.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { hunt } from './kit/hunt-faults.ts'
import { openStage, type StagedEvent } from './kit/stage.ts'
import { flightEvents } from './kit/stage-events.ts'

/** `npm run test:hunt` sets them; without them nobody hunts. */
const MINUTES = Number(process.env.PELTON_HUNT_MINUTES ?? 0)
const EVENTS = Number(process.env.PELTON_HUNT_EVENTS ?? 100_000)

/** Everything may stand still for long while an election goes on, and a redelivery waits for its time. */
const DRAIN_MS = 1_800_000
/** Each hundredth event asks for a model nobody has, and ends as a dead letter. */
const UNKNOWN_EVERY = 100

afterAll(closeBareModels)

async function preyEvents(): Promise<StagedEvent[]> {
  const flights = await flightEvents(EVENTS)
  return flights.map((event, index) =>
    index % UNKNOWN_EVERY === UNKNOWN_EVERY - 1 ? { ...event, model: 'no-such-model' } : event,
  )
}

test.skipIf(MINUTES === 0)(
  'kills, partitions, step-downs and stops at random on a cluster of three: nothing is lost, nothing doubled',
  { timeout: MINUTES * 60_000 + DRAIN_MS },
  async () => {
    const cluster = await startTestCluster()
    onTestFinished(() => cluster.stop())
    const events = await preyEvents()
    const unknown = new Set(events.filter(({ model }) => model === 'no-such-model').map(({ id }) => id))
    const topology = { replicas: 3 }
    const stage = await openStage('hunt', { broker: cluster, workers: 4, events, ackWaitMs: 3_000, topology })
    const { feed, fleet, connection, random } = stage
    const over = new AbortController()
    onTestFinished(() => over.abort())
    const publishing = feed.run({ perSecond: EVENTS / (MINUTES * 60) })
    const hunting = hunt({ cluster, fleet, connection, random, signal: over.signal })
    // A fault that cannot be carried out ends the hunt at once, not when all is published.
    await Promise.race([publishing, hunting])
    over.abort()
    const carriedOut = await hunting
    stage.faultEnded()
    await publishing
    await feed.done
    for (const why of fleet.failedStarts) console.log(`a worker ended at its start: ${reasonOf(why)}`)
    const told = [...carriedOut].map(([name, count]) => `${count} ${name}`).join(', ')
    const endings = (id: string) => (unknown.has(id) ? 'unknown-model' : 'prediction')
    const findings = await stage.conclude({
      endings,
      note: `${MINUTES} min: ${told}; ${fleet.failedStarts.length} workers ended at their start`,
    })
    expect(findings.events).toBe(EVENTS)
    expect(carriedOut.size, told).toBeGreaterThan(1)
  },
)

/** What a worker that ended before it was ready said last. */
function reasonOf(log: string): string {
  const said = [...log.matchAll(/"message": "((?:[^"\\]|\\.)*)"/g)].map(([, message]) => message)
  return said.at(-1) ?? log.slice(0, 500)
}
