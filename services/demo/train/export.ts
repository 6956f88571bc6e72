import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { noteLine, printLine } from '../../../shared/runtime/standard-streams.ts'
import { type FlightEvent, loadFlights } from '../flights.ts'

/** Flights written: the last 20,000 are held out, the 600,000 before them are for training (35 days). */
const FLIGHTS = 620_000

const [target] = process.argv.slice(2)
if (target === undefined) {
  noteLine('Usage: export.ts <file.csv>: name the file to write the flights to')
  process.exit(2)
}
const events = await loadFlights({ count: FLIGHTS })
await pipeline(Readable.from(lines(events)), createWriteStream(target))
printLine(`${events.length} flights written to ${target}`)

/** A heading and one line per flight; no value contains a comma. */
function* lines(flights: readonly FlightEvent[]): Generator<string> {
  const [first] = flights
  if (first === undefined) return
  yield `${['id', 'departed_at', 'arrived_at', 'late', ...Object.keys(first.features)].join(',')}\n`
  for (const { id, departedAt, arrivedAt, late, features } of flights) {
    const known = [id, departedAt.toISOString(), arrivedAt.toISOString(), late ? 1 : 0]
    yield `${[...known, ...Object.values(features)].join(',')}\n`
  }
}
