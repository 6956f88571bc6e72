import type { createSubscriber } from '../../../shared/sdk/subscriber.ts'
import { readTask, reportMilestone } from './peer-task.ts'

// A subscriber of the SDK that reads what is stored as fast as it can. Arguments: the SDK of a checkout, and the broker.

/** Fetched ahead: more than by default, as one does who reads in bulk. */
const BATCH = 512

const [sdk = '', url = ''] = process.argv.slice(2)
const { createSubscriber: create } = (await import(sdk)) as {
  readonly createSubscriber: typeof createSubscriber
}
const task = readTask()
const subscriber = await create({ url, from: 'all', batchSize: BATCH, maxUnacked: 10_000 })
process.on('SIGTERM', () => process.exit(0))
process.send?.({ kind: 'state', state: 'ready' })
let read = 0
for await (const prediction of subscriber) {
  if (prediction.outputs.length === 0) throw new Error(`${prediction.id} has no outputs`)
  prediction.ack()
  read++
  if (read === task.warmUp) reportMilestone('warm', read)
  if (read === task.warmUp + task.events) reportMilestone('done', read)
}
