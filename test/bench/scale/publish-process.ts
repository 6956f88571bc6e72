import { setTimeout as sleep } from 'node:timers/promises'
import { loadFlights } from '../../../services/demo/flights.ts'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { encodeHeaderBlock } from '../../../shared/sdk/contract/headers.ts'
import { eventMessage } from '../../../shared/sdk/event-message.ts'
import { intendedMs } from '../compare/pacing.ts'
import { openWire } from '../floor/wire.ts'
import type { FloodLoad } from './flood.ts'

// Publishes events over a bare socket, encoded before it begins: what it takes is the broker's. Each is awaited, so many of
// them at once. One argument, the load as JSON.

const MOST_IN_FLIGHT = 4_096
const ACKED = 1

const { url, from, count, perSecond, routes } = JSON.parse(process.argv[2] ?? '{}') as FloodLoad
const flights = await loadFlights({ count: 20_000 })
const inbox = `_P.${process.pid}`
const commands = Array.from({ length: count }, (_event, index) => commandOf(from + index))

let published = 0
let stored = 0
let onAllStored = (): void => {}
const allStored = new Promise<void>((resolve) => {
  onAllStored = resolve
})
const wire = await openWire(url, ({ bytes, payloadAt, end }) => {
  const answer = bytes.toString('latin1', payloadAt, end)
  if (!answer.includes('"seq"')) throw new Error(`an event was not stored: ${answer}`)
  stored++
  if (stored === count) onAllStored()
  else if (perSecond === undefined) publishUpTo(stored + MOST_IN_FLIGHT)
})

function commandOf(index: number): string {
  const { pool, lane } = routes[index % routes.length] ?? { pool: 'default', lane: 'normal' }
  const { features } = flights[index % flights.length] ?? { features: {} }
  const event = { model: DEMO_MODEL, id: `scale-${index}`, features: { ...features }, lane }
  const { subject, headers, body } = eventMessage(event, { source: 'bench', pool, now: Date.now() })
  const block = Buffer.from(encodeHeaderBlock(headers)).toString('latin1')
  const data = Buffer.from(body).toString('latin1')
  return `HPUB ${subject} ${inbox} ${block.length} ${block.length + data.length}\r\n${block}${data}\r\n`
}

function publishUpTo(most: number): void {
  while (published < Math.min(most, count)) wire.put(commands[published++] as string)
}

wire.subscribe(inbox, ACKED)
process.once('disconnect', () => process.exit(0))
process.send?.('ready')
await new Promise((begin) => process.once('message', begin))
const startedAt = performance.now()
if (perSecond === undefined) publishUpTo(MOST_IN_FLIGHT)
else
  while (published < count) {
    publishUpTo(Math.ceil((performance.now() - startedAt) * (perSecond / 1_000)))
    await sleep(Math.max(1, startedAt + intendedMs(published, perSecond) - performance.now()))
  }
await allStored
process.send?.({ ms: performance.now() - startedAt })
