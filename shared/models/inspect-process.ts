import { Worker } from 'node:worker_threads'
import { type InspectionRequest, inspectModel } from './inspect-model.ts'
import type { FromInspector } from './inspector-messages.ts'
import { toErrorMessage } from './thread-messages.ts'

// A model that never returns blocks this thread, and with it the news that the parent is gone; another thread sees it.
const GUARD = `
  const { workerData } = require('node:worker_threads')
  setInterval(() => {
    if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL')
  }, 500)
`

/** The entry of the inspector process: one model after the other, as asked over the channel to its parent. */
function main(): void {
  new Worker(GUARD, { eval: true, execArgv: [], workerData: process.ppid }).unref()
  process.on('message', (request: InspectionRequest) => void answer(request))
  process.on('disconnect', () => process.exit(0))
  send({ kind: 'ready' })
}

async function answer(request: InspectionRequest): Promise<void> {
  try {
    send({ kind: 'inspected', inspection: await inspectModel(request) })
  } catch (thrown) {
    send({ kind: 'refused', error: toErrorMessage(thrown, 'model-refused') })
  }
}

function send(message: FromInspector): void {
  process.send?.(message)
}

main()
