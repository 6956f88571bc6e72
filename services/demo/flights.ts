import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { PeltonError, showValue } from '../../shared/sdk/errors.ts'
import { offsetMinutes, SUMMER_TIME_BEGAN } from './airport-clocks.ts'

/** A flight as the Bureau of Transportation Statistics recorded it, with its departure on one clock. */
export interface Flight {
  /** Row in the file, from 0: the flight's identity, and the order of flights that leave in the same minute. */
  readonly row: number
  /** Departure, in minutes since the Unix epoch. */
  readonly departureMinute: number
  /** Hour of departure at the origin, 0 to 23. */
  readonly hour: number
  /** Day of departure at the origin, 0 (Sunday) to 6. */
  readonly weekday: number
  /** Minutes late at the destination; negative when early. */
  readonly delayMinutes: number
  readonly distanceMiles: number
  readonly origin: string
  readonly destination: string
}

/** What the model is told about a flight: one record of named scalars. Delays are minutes, recent ones count most. */
export interface FlightFeatures {
  /** IATA code of the airport left. */
  readonly origin: string
  readonly destination: string
  /** Local hour of departure, 0 to 23. */
  readonly hour: number
  /** Local day of departure, 0 (Sunday) to 6. */
  readonly weekday: number
  /** Miles. */
  readonly distance: number
  /** Mean delay of flights that left the origin and have arrived. */
  readonly origin_delay: number
  /** Mean delay of flights that have arrived at the origin: the aircraft that will leave it. */
  readonly inbound_delay: number
  /** Mean delay of flights that have arrived at the destination. */
  readonly destination_delay: number
  /** Mean delay of flights between the two that have arrived. */
  readonly route_delay: number
  /** Recent departures from the origin, older ones fading: how busy it is. */
  readonly origin_departures: number
}

/** One flight to predict, and its outcome. */
export interface FlightEvent {
  /** Stable over runs: `flight-<row in the file>`. */
  readonly id: string
  readonly departedAt: Date
  /** When the outcome is known. */
  readonly arrivedAt: Date
  readonly features: FlightFeatures
  /** Whether it arrived more than 15 minutes late. */
  readonly late: boolean
}

export interface LoadOptions {
  /** How many flights, counted back from the end of the file. @default 20_000 */
  readonly count?: number
  /** Days before them that only feed the recent delays. @default 3 */
  readonly historyDays?: number
}

/** The busiest day of the file has 17,548 flights. */
const FLIGHTS_PER_DAY = 18_000
const MINUTE_MS = 60_000
const LATE_MINUTES = 15

const TAXI_MINUTES = 35
const MILES_PER_MINUTE = 7.5

/** Time after which a flight counts 1/e of a fresh one. A route has fewer flights, so it remembers longer. */
const AIRPORT_MEMORY_MINUTES = 60
const ROUTE_MEMORY_MINUTES = 240
/** A mean starts out as this many flights with the mean of its surroundings: few flights say little. */
const PRIOR_FLIGHTS = 3
/** Mean delay assumed before any flight has arrived. */
const FIRST_DELAY_MINUTES = 5
/** One flight a day late must not drown an airport's mean. */
const SHORTEST_DELAY_MINUTES = -20
const LONGEST_DELAY_MINUTES = 180

/**
 * The last `count` flights of the file, by departure, as events in the order they left. Only the end of the file
 * is read. Features use nothing that was not known when the flight left.
 * @throws PeltonError `invalid-argument` for options out of range, `invalid-configuration` when the file is missing
 *   or is not the one expected.
 */
export async function loadFlights(options: LoadOptions = {}): Promise<FlightEvent[]> {
  const count = checkCount('count', options.count ?? 20_000)
  const historyDays = checkCount('historyDays', options.historyDays ?? 3)
  const flights = await readFlights(count + historyDays * FLIGHTS_PER_DAY)
  return describeFlights(flights).slice(-count)
}

/** The last `count` rows of the file, by departure, flights of the same minute by row. Throws as {@link loadFlights}. */
async function readFlights(count: number): Promise<Flight[]> {
  const file = await asyncBufferFromFile(flightsFile())
  const metadata = await parquetMetadataAsync(file)
  const rowStart = Math.max(0, Number(metadata.num_rows) - count)
  const columns = ['date', 'delay', 'distance', 'origin', 'destination']
  // The file is ordered by local time of departure, so its last rows are the last flights but for the time zones.
  const rows = await parquetReadObjects({ file, metadata, columns, rowStart, compressors })
  return rows.map((row, index) => toFlight(row, rowStart + index)).sort(byDeparture)
}

/** Orders flights by departure; those of the same minute by row, so that every run gives the same order. */
export function byDeparture(a: Flight, b: Flight): number {
  return a.departureMinute - b.departureMinute || a.row - b.row
}

/**
 * Events for `flights`, which must be in the order of {@link byDeparture}. The one place where features are computed:
 * training and demo both come here. A flight's delay enters the means in the minute it has arrived, not before.
 */
export function describeFlights(flights: readonly Flight[]): FlightEvent[] {
  const board = createBoard()
  const arrivals = new Map<number, Flight[]>()
  let minute = flights[0]?.departureMinute ?? 0
  return flights.map((flight) => {
    for (; minute <= flight.departureMinute; minute += 1) {
      for (const arrived of arrivals.get(minute) ?? []) board.arrive(arrived, minute)
      arrivals.delete(minute)
    }
    const features = board.describe(flight)
    board.depart(flight)
    const arrival = arrivalMinute(flight)
    const together = arrivals.get(arrival)
    if (together === undefined) arrivals.set(arrival, [flight])
    else together.push(flight)
    return {
      id: `flight-${flight.row}`,
      departedAt: new Date(flight.departureMinute * MINUTE_MS),
      arrivedAt: new Date(arrival * MINUTE_MS),
      features,
      late: flight.delayMinutes > LATE_MINUTES,
    }
  })
}

/**
 * When the delay of a flight is known, in minutes since the Unix epoch: departure + 35 min + a minute for every
 * 7.5 miles + delay. Being early does not count: the file has flights "early" by more than their whole duration.
 */
export function arrivalMinute(flight: Flight): number {
  const minutes = TAXI_MINUTES + flight.distanceMiles / MILES_PER_MINUTE + Math.max(0, flight.delayMinutes)
  return Math.ceil(flight.departureMinute + minutes)
}

function createBoard() {
  const network = createFadingMeans(AIRPORT_MEMORY_MINUTES)
  const leftFrom = createFadingMeans(AIRPORT_MEMORY_MINUTES)
  const arrivedAt = createFadingMeans(AIRPORT_MEMORY_MINUTES)
  const flown = createFadingMeans(ROUTE_MEMORY_MINUTES)
  const departures = createFadingMeans(AIRPORT_MEMORY_MINUTES)

  function arrive(flight: Flight, minute: number): void {
    const delay = Math.min(LONGEST_DELAY_MINUTES, Math.max(SHORTEST_DELAY_MINUTES, flight.delayMinutes))
    network.add('', delay, minute)
    leftFrom.add(flight.origin, delay, minute)
    arrivedAt.add(flight.destination, delay, minute)
    flown.add(route(flight), delay, minute)
  }

  function depart(flight: Flight): void {
    departures.add(flight.origin, 0, flight.departureMinute)
  }

  function describe(flight: Flight): FlightFeatures {
    const { origin, destination, departureMinute: now } = flight
    const everywhere = network.mean('', now, FIRST_DELAY_MINUTES)
    const atOrigin = leftFrom.mean(origin, now, everywhere)
    const atDestination = arrivedAt.mean(destination, now, everywhere)
    return {
      origin,
      destination,
      hour: flight.hour,
      weekday: flight.weekday,
      distance: flight.distanceMiles,
      origin_delay: toTenths(atOrigin),
      inbound_delay: toTenths(arrivedAt.mean(origin, now, everywhere)),
      destination_delay: toTenths(atDestination),
      route_delay: toTenths(flown.mean(route(flight), now, (atOrigin + atDestination) / 2)),
      origin_departures: toTenths(departures.weight(origin, now)),
    }
  }

  return { arrive, depart, describe }
}

/** Means by key in which a value fades with its age: after `memoryMinutes` it counts 1/e. Minutes must not go back. */
function createFadingMeans(memoryMinutes: number) {
  const entries = new Map<string, { sum: number; weight: number; minute: number }>()

  function fading(minute: number, now: number): number {
    return Math.exp((minute - now) / memoryMinutes)
  }

  function add(key: string, value: number, now: number): void {
    const entry = entries.get(key)
    if (entry === undefined) {
      entries.set(key, { sum: value, weight: 1, minute: now })
      return
    }
    const fade = fading(entry.minute, now)
    entry.sum = entry.sum * fade + value
    entry.weight = entry.weight * fade + 1
    entry.minute = now
  }

  function weight(key: string, now: number): number {
    const entry = entries.get(key)
    return entry === undefined ? 0 : entry.weight * fading(entry.minute, now)
  }

  function mean(key: string, now: number, prior: number): number {
    const entry = entries.get(key)
    if (entry === undefined) return prior
    const fade = fading(entry.minute, now)
    return (entry.sum * fade + PRIOR_FLIGHTS * prior) / (entry.weight * fade + PRIOR_FLIGHTS)
  }

  return { add, weight, mean }
}

function route(flight: Flight): string {
  return `${flight.origin}-${flight.destination}`
}

/** A tenth of a minute is more than is known, and reads well. `+ 0` turns a negative zero into zero. */
function toTenths(value: number): number {
  return Math.round(value * 10) / 10 + 0
}

function flightsFile(): string {
  const entry = createRequire(import.meta.url).resolve('vega-datasets')
  const file = path.join(path.dirname(entry), '..', 'data', 'flights-3m.parquet')
  if (existsSync(file)) return file
  throw new PeltonError('invalid-configuration', 'the flights file of vega-datasets is missing', {
    field: 'vega-datasets',
    value: file,
    remedy: 'Install the dependencies again with npm ci',
  })
}

function toFlight(columns: Record<string, unknown>, row: number): Flight {
  const { date, delay, distance, origin, destination } = columns
  const isWhole =
    date instanceof Date &&
    typeof delay === 'bigint' &&
    typeof distance === 'bigint' &&
    typeof origin === 'string' &&
    typeof destination === 'string'
  if (!isWhole) {
    throw new PeltonError('invalid-configuration', 'a row of the flights file is not a flight', {
      field: `flights-3m.parquet row ${row}`,
      value: showValue(columns),
      remedy: 'Install the pinned version of vega-datasets with npm ci',
    })
  }
  if (date < SUMMER_TIME_BEGAN) {
    throw new PeltonError('invalid-argument', 'flights are only read back to the start of summer time', {
      field: 'count',
      value: date.toISOString(),
      remedy: 'Ask for a smaller count or fewer historyDays',
    })
  }
  return {
    row,
    departureMinute: Math.round(date.getTime() / MINUTE_MS) - offsetMinutes(origin),
    hour: date.getUTCHours(),
    weekday: date.getUTCDay(),
    delayMinutes: Number(delay),
    distanceMiles: Number(distance),
    origin,
    destination,
  }
}

function checkCount(field: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new PeltonError('invalid-argument', 'not a number of flights or days', {
    field,
    value: showValue(value),
    remedy: 'Give a whole number above zero',
  })
}
