import { fileURLToPath } from 'node:url'

/** The model the demo asks. */
export const DEMO_MODEL = 'flight-delay'

/** The models that ship with the demo. */
export const DEMO_MODELS = fileURLToPath(new URL('./models', import.meta.url))

/** One flight as the demo's models take it. */
export const EXAMPLE_FLIGHT = {
  origin: 'DTW',
  destination: 'ORD',
  hour: 18,
  weekday: 5,
  distance: 235,
  origin_delay: 12.5,
  inbound_delay: 9,
  destination_delay: 20,
  route_delay: 15,
  origin_departures: 30,
}
