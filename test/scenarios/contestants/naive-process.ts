import cluster from 'node:cluster'
import Fastify from 'fastify'
import { type Features, openBareModel } from '../../bench/suite/bare-model.ts'

// No queue at all: a request, the model, an answer, as the framework's documentation has it, schemas for both; in a cluster
// where more than one process is asked for. Arguments: path of the model, processes, threads of a session, `close` where a
// connection is for one request.

const [path = '', processes = '1', threads = '1', connections = ''] = process.argv.slice(2)
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

async function serve(): Promise<string> {
  const model = await openBareModel(path, Number(threads))
  const server = Fastify({ forceCloseConnections: true })
  server.post<{ Body: { features: Features } }>('/predict', { schema }, async ({ body }, reply) => {
    if (connections === 'close') reply.header('connection', 'close')
    const outputs = await model.run(model.feeds([body.features]))
    return Object.fromEntries(model.outputs.map((name, at) => [name, Number(outputs[at]?.data[0])]))
  })
  return server.listen({ host: '127.0.0.1', port: 0 })
}

/** Resolves when every process of the cluster listens. */
function serveTogether(
  count: number,
): Promise<{ readonly address: string; readonly pids: readonly number[] }> {
  const pids: number[] = []
  return new Promise((resolve) => {
    cluster.on('listening', (worker, { port }) => {
      pids.push(worker.process.pid ?? 0)
      if (pids.length === count) resolve({ address: `http://127.0.0.1:${port}`, pids })
    })
    for (let each = 0; each < count; each++) cluster.fork()
  })
}

if (cluster.isWorker) {
  await serve()
} else if (Number(processes) > 1) {
  process.on('SIGTERM', () => process.exit(0))
  process.send?.({ kind: 'state', state: 'ready', ...(await serveTogether(Number(processes))) })
} else {
  process.on('SIGTERM', () => process.exit(0))
  process.send?.({ kind: 'state', state: 'ready', address: await serve(), pids: [] })
}
