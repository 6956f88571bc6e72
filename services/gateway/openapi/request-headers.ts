import { z } from 'zod'

const prefer = z
  .string()
  .optional()
  .describe('`respond-async` for an answer later; `wait=<seconds>`, 30 at most, to wait for it until then')
const idempotencyKey = z
  .string()
  .min(1)
  .max(257)
  .optional()
  .describe('Text of 1 to 255 characters, in quotes or not: however often it is sent, it is one event')
const length = z
  .string()
  .regex(/^\d{1,10}$/)
  .optional()
  .describe('Bytes of JSON before the first raw tensor; of the body before any compression')
const trace = {
  traceparent: z.string().optional().describe('W3C Trace Context'),
  tracestate: z.string().optional().describe('W3C Trace Context'),
}

/** Of a request for a prediction. */
export const inferHeaders = z.object({
  Prefer: prefer,
  'Idempotency-Key': idempotencyKey,
  'Inference-Header-Content-Length': length,
  ...trace,
})

const attribute = (text: string) =>
  z.string().optional().describe(`${text}; in structured mode it stands in the body`)

/** Of a CloudEvent; attributes beside these are `ce-` and their name. */
export const eventHeaders = z.object({
  Prefer: prefer,
  'ce-specversion': attribute('`1.0`'),
  'ce-id': attribute('Names the event: sent twice, it is one'),
  'ce-source': attribute('Who it is from; with an API key that is the key'),
  'ce-type': attribute('What happened'),
  'ce-time': attribute('When, RFC 3339'),
  'ce-subject': attribute('Who or what it is about'),
  'ce-expirytime': attribute('Its deadline, RFC 3339'),
  'Inference-Header-Content-Length': length,
  ...trace,
})

/** Of a request for a result. */
export const resultHeaders = z.object({ Prefer: prefer.describe('`wait=<seconds>`, 30 at most') })
