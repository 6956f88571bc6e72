import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { reportMilestone } from './peer-task.ts'

// A model in the bare runtime, in some threads of one process, each running batches of one size over and over.
// Arguments: path of the model, rows of a batch, threads, seconds.

const [path = '', rows = '1', threads = '1', seconds = '5'] = process.argv.slice(2)
const WARM_UP_MS = 1_000

/** The next milestones, by when the first run ends after them: half a run counts nowhere. */
const milestones = [
  { state: 'warm', atMs: WARM_UP_MS },
  { state: 'done', atMs: WARM_UP_MS + 1_000 * Number(seconds) },
] as const
const startedAt = performance.now()
let done = 0
let passed = 0

function count(ran: number): void {
  done += ran
  const next = milestones[passed]
  if (next === undefined || performance.now() - startedAt < next.atMs) return
  passed++
  reportMilestone(next.state, done)
}

const entry = fileURLToPath(new URL('./model-thread-process.js', import.meta.url))
for (let thread = 0; thread < Number(threads); thread++) {
  const worker = new Worker(entry, { workerData: { path, rows: Number(rows) } })
  worker.on('message', count)
  worker.on('error', (thrown) => {
    throw thrown
  })
}
process.on('SIGTERM', () => process.exit(0))
process.send?.({ kind: 'state', state: 'ready' })
