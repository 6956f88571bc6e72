// A child of test/bench/neighbour.ts: publishes events of one kind to lane `low`. At first two, one after the other, to see
// what one alone takes; told `go` so many a second; told `stop` no more, and it says what became of them.
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { frameOf, readFrameHeaders } from '../../../shared/sdk/jetstream/frame.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { NOBODYS, type Told, type Word } from './flood-messages.ts'
import { type Kind, kindsFor } from './kinds.ts'

/** More are not under way: a flood does not grow over the time it is looked at. */
const MOST_UNDER_WAY = 64

const [url = '', bytes = '', index = ''] = process.argv.slice(2)
const kind = kindsFor(Number(bytes))[Number(index)] as Kind // the parent names one that is there
const connection = await connect({ servers: url })
const window = new PublishWindow(connection)
const outcomes: Record<string, number> = {}
let published = 0
let stored = 0
let answered = 0
let onAnswer = (): void => undefined

async function publish(pool = 'default'): Promise<void> {
  const { model, body, headers = {} } = kind.flood(published)
  const subject = subjects.feature({ pool, model, lane: 'low' })
  const id = pool === 'default' ? `flood-${index}-${published++}` : `stored-${index}-${stored++}`
  const all = { [HEADERS.id]: id, [HEADERS.source]: 'flood', ...headers }
  const reply = await window.publish({ subject, headers: Object.entries(all), body })
  if (reply.kind === 'refused')
    throw new Error(`an event of kind ${kind.name} is not taken: ${reply.description}`)
}

async function publishOne(): Promise<number> {
  const startedAt = performance.now()
  const answer = new Promise<void>((resolve) => {
    onAnswer = resolve
  })
  await publish()
  await answer
  return performance.now() - startedAt
}

connection.subscribe('results.>', {
  callback: (_error, message) => {
    const headers = readFrameHeaders(frameOf(message))
    if (readHeader(headers, HEADERS.correlationId)?.startsWith('near-')) return
    answered++
    const what = readHeader(headers, HEADERS.deadLetterReason) ?? 'predicted'
    outcomes[what] = (outcomes[what] ?? 0) + 1
    onAnswer()
  },
})
await connection.flush()
await publishOne() // it opens the session, and starts threads
const oneAloneMs = await publishOne()
let now: Word = 'stop'
process.on('message', async (word: Word) => {
  now = word
  if (word === 'stop') process.send?.({ oneAloneMs, outcomes } satisfies Told)
  for (; now === word && word !== 'stop'; await sleep(1_000 / kind.perSecond)) {
    if (word === 'store') void publish(NOBODYS)
    else if (published - answered < MOST_UNDER_WAY) void publish()
  }
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
