import { fileURLToPath } from 'node:url'

/** The model the demo asks. */
export const DEMO_MODEL = 'flight-delay'

/** The models that ship with the demo. */
export const DEMO_MODELS = fileURLToPath(new URL('./models', import.meta.url))
