import { Queue, Worker } from 'bullmq'
import { flights, openModel, reportMilestone, task } from './model.mjs'

// As its documentation has it: jobs in Redis, a worker with a concurrency, the answer is what the job returns, and kept.
// Arguments: the port of Redis, then `fill`, or the concurrency of a worker.

const NAME = 'flights'
const CHUNK = 1_000
const [port, act] = process.argv.slice(2)
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null }

async function fill(count) {
  const queue = new Queue(NAME, { connection })
  for (let done = 0; done < count; done += CHUNK) {
    const jobs = Array.from({ length: Math.min(CHUNK, count - done) }, (_job, at) => ({
      name: 'predict',
      data: { id: `event-${done + at}`, features: flights[(done + at) % flights.length] },
    }))
    await queue.addBulk(jobs)
  }
  await queue.close()
}

async function work(concurrency) {
  const predict = await openModel()
  let answered = 0
  const worker = new Worker(NAME, ({ data }) => predict(data.features), { connection, concurrency })
  worker.on('completed', () => {
    answered++
    if (answered === task.warmUp) reportMilestone('warm', answered)
    if (answered === task.warmUp + task.events) reportMilestone('done', answered)
  })
  worker.on('error', (thrown) => console.error(thrown))
  worker.on('failed', (_job, thrown) => console.error(thrown))
  process.on('SIGTERM', () => process.exit(0))
  await worker.waitUntilReady()
  process.send?.({ kind: 'state', state: 'ready' })
}

if (act === 'fill') {
  await fill(task.warmUp + task.events)
  process.exit(0)
}
await work(Number(act))
