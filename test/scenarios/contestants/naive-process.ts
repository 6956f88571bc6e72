import cluster from 'node:cluster'
import Fastify from 'fastify'
import { addFlightRoute } from '../../bench/peers/flight-route.ts'
import { openBareModel } from '../../bench/suite/bare-model.ts'

// No queue at all: a request, the model, an answer, as the framework's documentation has it, schemas for both; in a cluster
// where more than one process is asked for. Arguments: path of the model, processes, threads of a session, `close` where a
// connection is for one request.

const [path = '', processes = '1', threads = '1', connections = ''] = process.argv.slice(2)

async function serve(): Promise<string> {
  const model = await openBareModel(path, Number(threads))
  const server = Fastify({ forceCloseConnections: true })
  addFlightRoute(server, model, (reply) => {
    if (connections === 'close') reply.header('connection', 'close')
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
