import { randomUUID } from 'node:crypto'
import { fastify } from 'fastify'
import { pino } from 'pino'
import { createFigures } from '../../services/gateway/observe/figures.ts'
import { openGatewayGauges } from '../../services/gateway/observe/gateway-gauges.ts'
import { measureRequests } from '../../services/gateway/observe/http-metrics.ts'
import { traceRequests } from '../../services/gateway/observe/http-traces.ts'
import { watchRefusals } from '../../services/gateway/observe/refusals.ts'
import { traceSdk } from '../../shared/runtime/sdk-spans.ts'
import { startTelemetry } from '../../shared/runtime/telemetry.ts'
import { createProducer } from '../../shared/sdk/producer.ts'

// What the gateway tells of itself, with as little around it as can be: an HTTP server that publishes an event for each
// request. OpenTelemetry is one for a process, so it has its own. Prints its address; ends with its standard input.
const { PELTON_NATS_URL: url, PELTON_PREFIX: prefix } = process.env
const log = { warn: () => undefined, debug: () => undefined }
const telemetry = await startTelemetry({
  serviceName: 'pelton-gateway',
  instance: 'test',
  env: process.env,
  hasHttp: true,
  log,
})
const figures = createFigures({ hasMetrics: telemetry.hasMetrics })
const stopTracing = traceSdk()
const producer = await createProducer({ url: url ?? '', ...(prefix && { prefix }), source: 'http' })
const app = fastify()
traceRequests(app)
const measured = measureRequests(app)
openGatewayGauges({
  connections: () => ({ count: 50, limit: 200 }),
  inFlight: () => ({
    requests: { count: measured.active, limit: undefined },
    bytes: { count: 1_024, limit: 512 },
  }),
  keys: () => 3,
  gates: () => [{ pool: 'default', model: 'churn', gate: 'backlog low', value: 2.5, threshold: 0.5 }],
})
const refusals = watchRefusals({ log: pino({ level: 'silent' }), hasMetrics: telemetry.hasMetrics })
refusals.told({ pool: 'default', model: 'churn', lane: 'low', limit: 'backlog', isEnforced: true })

const ended = {
  modelVersion: undefined,
  protocol: 'open-inference',
  status: 200,
  durationMs: 1,
  queueMs: undefined,
  inferenceMs: undefined,
  batchRows: undefined,
} as const

app.post('/v2/models/*', async (request) => {
  const { traceparent, tracestate } = request.headers as Record<string, string | undefined>
  const [, , , model = ''] = request.url.split('/')
  const inputs = [{ name: 'x', shape: [1, 2], datatype: 'FP32' as const, data: [1, 0] }]
  const event = { model, id: randomUUID(), inputs }
  await producer.publish({
    ...event,
    ...(traceparent !== undefined && { traceparent }),
    ...(tracestate !== undefined && { tracestate }),
  })
  figures.ended({ ...ended, model, ended: 'prediction', reason: undefined })
  return { id: event.id, traceparent }
})
app.post<{ Params: { model: string; ended: 'left' | 'refused'; reason: string } }>(
  '/ended/:model/:ended/:reason',
  async ({ params: { model, ended: how, reason } }) => {
    figures.ended({ ...ended, model, ended: how, status: 503, reason })
    return {}
  },
)
app.get('/failing', async (_request, reply) => reply.code(503).send({}))
app.get('/hanging', () => new Promise(() => undefined))
app.get('/metrics', async (_request, reply) =>
  reply.type('text/plain').send((await telemetry.scrape?.()) ?? ''),
)
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
process.stdin.resume().once('end', async () => {
  app.server.closeAllConnections()
  await app.close()
  await producer.close()
  refusals.close()
  stopTracing()
  await telemetry.close()
})
