import { readFileSync } from 'node:fs'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import type { Features } from '../../../shared/sdk/contract/open-inference.ts'
import type { createProducer } from '../../../shared/sdk/producer.ts'
import { readTask, reportMilestone } from './peer-task.ts'

// A producer of the SDK that publishes as fast as it can. Arguments: the SDK of a checkout, and the broker.

const CHUNK = 10_000

const [sdk = '', url = ''] = process.argv.slice(2)
const { createProducer: create } = (await import(sdk)) as { readonly createProducer: typeof createProducer }
const task = readTask()
const flights = JSON.parse(readFileSync(task.flights, 'utf8')) as readonly Features[]
const producer = await create({ url, source: 'bench' })
let published = 0

async function publish(count: number): Promise<void> {
  for (let done = 0; done < count; done += CHUNK) {
    const chunk = Array.from({ length: Math.min(CHUNK, count - done) }, () => {
      const index = published++
      const features = flights[index % flights.length] ?? {}
      return producer.publish({ model: DEMO_MODEL, id: `event-${index}`, features })
    })
    await Promise.all(chunk)
  }
}

process.on('SIGTERM', () => process.exit(0))
process.send?.({ kind: 'state', state: 'ready' })
await publish(task.warmUp)
reportMilestone('warm', published)
await publish(task.events)
reportMilestone('done', published)
