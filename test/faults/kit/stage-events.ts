import { type FlightEvent, loadFlights } from '../../../services/demo/flights.ts'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import type { EventToPublish } from '../../../shared/sdk/event-message.ts'

/** An event whose fate is followed: the harness has to know its id. */
export type StagedEvent = EventToPublish & { readonly id: string }

/** Flights a file of scenarios uses over and over; more events than these get ids of their own round. */
const DISTINCT_FLIGHTS = 20_000

let flights: Promise<readonly FlightEvent[]> | undefined

/** Real flights as events for the demo model: the file's last ones, cycled with new ids when there are too few. */
export async function flightEvents(count: number): Promise<StagedEvent[]> {
  flights ??= loadFlights({ count: DISTINCT_FLIGHTS })
  const known = await flights
  return Array.from({ length: count }, (_, index) => {
    const { id, features } = known[index % known.length] as FlightEvent
    const round = Math.floor(index / known.length)
    return { model: DEMO_MODEL, id: round === 0 ? id : `${id}-${round}`, features: features as never }
  })
}
