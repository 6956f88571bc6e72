import { Worker } from 'node:worker_threads'

// A model that never returns blocks this thread, and with it the news that the parent is gone; another thread sees it.
const GUARD = `
  const { workerData } = require('node:worker_threads')
  setInterval(() => {
    if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL')
  }, 500)
`

/** Ends this process when its parent is gone, also in the middle of a run. */
export function endWithParent(): void {
  new Worker(GUARD, { eval: true, execArgv: [], workerData: process.ppid }).unref()
  process.on('disconnect', () => process.exit(0))
}
