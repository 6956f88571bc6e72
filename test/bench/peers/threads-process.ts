import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { reportMilestone } from './peer-task.ts'

// A model in the bare runtime, in some threads of one process, each running batches of one size over and over.
// Arguments: path of the model, rows of a batch, threads, seconds.

const [path = '', rows = '1', threads = '1', seconds = '5'] = process.argv.slice(2)
const WARM_UP_MS = 1_000

let done = 0
const entry = new URL('./model-thread-process.js', import.meta.url)
for (let thread = 0; thread < Number(threads); thread++) {
  const worker = new Worker(fileURLToPath(entry), { workerData: { path, rows: Number(rows) } })
  worker.on('message', (count: number) => {
    done += count
  })
  worker.on('error', (thrown) => {
    throw thrown
  })
}
process.on('SIGTERM', () => process.exit(0))
process.send?.({ kind: 'state', state: 'ready' })
setTimeout(() => reportMilestone('warm', done), WARM_UP_MS)
setTimeout(() => reportMilestone('done', done), WARM_UP_MS + 1_000 * Number(seconds))
