import type { FlightEvent, FlightFeatures } from './flights.ts'

/** What the demo sends for one flight: the record as it is, or spoiled on purpose. */
export interface DemoEvent {
  readonly flight: FlightEvent
  /** JSON body. */
  readonly body: Uint8Array
  /** Deadline to send, if any. */
  readonly expiresAt: Date | undefined
  /** The reason it must come back with as a dead letter; `undefined` for an event that must be predicted. */
  readonly expectedReason: 'malformed' | 'schema-mismatch' | 'deadline-exceeded' | undefined
}

const utf8 = new TextEncoder()

/** One flight in this many is spoiled. */
const SPOIL_EVERY = 100

type Spoil = (flight: FlightEvent, body: string) => Omit<DemoEvent, 'flight'>

/** Ways to spoil an event, in turn. */
const SPOILS: readonly Spoil[] = [
  ({ features }) => ({
    body: record(without(features, 'distance')),
    expiresAt: undefined,
    expectedReason: 'schema-mismatch',
  }),
  ({ features }) => ({
    body: record({ ...features, hour: 'noon' }),
    expiresAt: undefined,
    expectedReason: 'schema-mismatch',
  }),
  (_flight, body) => ({
    body: utf8.encode(body.slice(0, body.length / 2)),
    expiresAt: undefined,
    expectedReason: 'malformed',
  }),
  ({ departedAt }, body) => ({
    body: utf8.encode(body),
    expiresAt: departedAt,
    expectedReason: 'deadline-exceeded',
  }),
]

/** The events of the demo, in order of departure; every {@link SPOIL_EVERY}th cannot be predicted. */
export function demoEvents(flights: readonly FlightEvent[]): DemoEvent[] {
  return flights.map((flight, index) => {
    const body = JSON.stringify({ features: flight.features })
    const spoil =
      index % SPOIL_EVERY === SPOIL_EVERY - 1
        ? SPOILS[Math.floor(index / SPOIL_EVERY) % SPOILS.length]
        : undefined
    if (spoil === undefined)
      return { flight, body: utf8.encode(body), expiresAt: undefined, expectedReason: undefined }
    return { flight, ...spoil(flight, body) }
  })
}

function record(features: object): Uint8Array {
  return utf8.encode(JSON.stringify({ features }))
}

function without(features: FlightFeatures, name: keyof FlightFeatures): Partial<FlightFeatures> {
  const { [name]: _left, ...rest } = features
  return rest
}
