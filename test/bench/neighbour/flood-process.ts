// A child of test/bench/neighbour.ts: keeps so many events of a kind under way in lane `low`, until it is told to stop.
import { connect } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { readMessageHeaders } from '../../../shared/sdk/jetstream/stored-message.ts'
import { kindsFor } from './kinds.ts'

const [url = '', bytes = '', index = ''] = process.argv.slice(2)
const kind = kindsFor(Number(bytes))[Number(index)]
if (kind === undefined) throw new RangeError(`no kind ${index}`)
const connection = await connect({ servers: url })
const window = new PublishWindow(connection)
let published = 0
let isStopped = false
const told = { answered: 0, longestRunMs: 0, outcomes: {} as Record<string, number> }

async function publish(): Promise<void> {
  const { model, body, headers = {} } = kind?.flood(published) ?? { model: '', body: new Uint8Array() }
  const subject = subjects.feature({ pool: 'default', model, lane: 'low' })
  const all = { [HEADERS.id]: `flood-${index}-${published++}`, [HEADERS.source]: 'flood', ...headers }
  const reply = await window.publish({ subject, headers: Object.entries(all), body })
  if (reply.kind === 'refused')
    throw new Error(`an event of kind ${kind?.name} is not taken: ${reply.description}`)
}

connection.subscribe('results.>', {
  callback: (_error, message) => {
    const headers = readMessageHeaders(message)
    const id = readHeader(headers, HEADERS.correlationId) ?? ''
    if (id.startsWith('near-')) return
    told.answered++
    const what = readHeader(headers, HEADERS.deadLetterReason) ?? 'predicted'
    told.outcomes[what] = (told.outcomes[what] ?? 0) + 1
    told.longestRunMs = Math.max(told.longestRunMs, Number(readHeader(headers, HEADERS.inferenceMs) ?? 0))
    if (!isStopped) void publish()
  },
})
await connection.flush()
for (let count = 0; count < kind.underWay; count++) void publish()
process.on('message', () => {
  isStopped = true
  process.send?.({ ...told, waiting: published - told.answered })
})
process.on('disconnect', () => process.exit(0))
