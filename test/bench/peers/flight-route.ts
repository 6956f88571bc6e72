import type { FastifyInstance, FastifyReply } from 'fastify'
import type { BareModel, Features } from '../suite/bare-model.ts'

const INPUTS = { text: ['origin', 'destination'], whole: ['hour', 'weekday', 'distance'] } as const
const FLOATS = ['origin_delay', 'inbound_delay', 'destination_delay', 'route_delay', 'origin_departures']

const of = (names: readonly string[], type: string): Record<string, { type: string }> =>
  Object.fromEntries(names.map((name) => [name, { type }]))
const features = {
  type: 'object',
  required: [...INPUTS.text, ...INPUTS.whole, ...FLOATS],
  properties: { ...of(INPUTS.text, 'string'), ...of(INPUTS.whole, 'integer'), ...of(FLOATS, 'number') },
}
const schema = {
  body: { type: 'object', required: ['features'], properties: { features } },
  response: { 200: { type: 'object', properties: of(['label', 'probability'], 'number') } },
}

/**
 * No queue at all: a request to `/predict`, the model, an answer, as the framework's documentation has it, schemas for both.
 *
 * @param before done to each reply first. @default nothing
 */
export function addFlightRoute(
  server: FastifyInstance,
  model: BareModel,
  before: (reply: FastifyReply) => void = () => undefined,
): void {
  server.post<{ Body: { features: Features } }>('/predict', { schema }, async ({ body }, reply) => {
    before(reply)
    const outputs = await model.run(model.feeds([body.features]))
    return Object.fromEntries(model.outputs.map((name, at) => [name, Number(outputs[at]?.data[0])]))
  })
}
