import { Worker } from 'bullmq'
import { openModel, task } from './model.mjs'

// A worker as its documentation has it, for jobs that somebody else adds, with priorities. Arguments: the port of Redis, the
// concurrency, and jobs a second at most, over all workers; 0 for no such limit.

const [port, concurrency, perSecond] = process.argv.slice(2).map(Number)
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
const limiter = perSecond > 0 ? { limiter: { max: perSecond, duration: 1_000 } } : {}
const predict = await openModel()
const worker = new Worker(task.queue, ({ data }) => predict(data.features), {
  connection,
  concurrency,
  ...limiter,
})
worker.on('error', (thrown) => console.error(thrown))
process.on('SIGTERM', () => process.exit(0))
await worker.waitUntilReady()
process.send?.({ kind: 'state', state: 'ready' })
