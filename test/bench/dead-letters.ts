// How long an operator waits with many dead letters: pages of the list, counts by model, reason and description, the
// plan of a replay, and what the process that asks takes of memory.
// npx tsx test/bench/dead-letters.ts [--letters=100000] [--runs=3]
import type { NatsConnection } from '@nats-io/transport-node'
import { KeptCounts } from '../../services/control/hosting/kept-counts.ts'
import { browseDeadLetters, readDeadLetters } from '../../shared/operations/dead-letters/browse.ts'
import { groupDeadLetters } from '../../shared/operations/dead-letters/groups.ts'
import { pageDeadLetters } from '../../shared/operations/dead-letters/page.ts'
import { planReplay } from '../../shared/operations/replay/plan.ts'
import { readEvent } from '../../shared/sdk/contract/event.ts'
import { deadLetterMessage } from '../../shared/sdk/contract/outcome.ts'
import { payloadDigest } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { REASONS, type Reason } from '../../shared/sdk/errors.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker } from '../kit/broker.ts'
import { median, numberArgument } from '../scale/stage.ts'

const letters = numberArgument('letters', 100_000)
const runs = numberArgument('runs', 3)
const MODELS = ['flight-delay', 'fraud', 'ranking']
const DESCRIPTIONS = 7
const reasons = Object.keys(REASONS) as Reason[]
const body = Buffer.from(JSON.stringify({ features: Object.fromEntries(Array(12).entries()) }))

async function store(connection: NatsConnection): Promise<void> {
  const window = new PublishWindow(connection)
  for (let from = 0; from < letters; from += 2_000)
    await Promise.all(
      Array.from({ length: Math.min(2_000, letters - from) }, async (_item, offset) => {
        const reply = await window.publish(letter(from + offset))
        if (reply.kind !== 'stored') throw new Error(reply.description)
      }),
    )
  window.close()
}

function letter(index: number) {
  const subject = `features.default.${MODELS[index % MODELS.length]}.normal`
  const headers = new Map([
    ['ce-id', `event-${index}`],
    ['ce-source', '/bench'],
    ['ce-type', 'flight'],
    ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
  ])
  const epoch = '2026-01-01T00:00:00Z'
  const event = readEvent({ subject, headers, body, stream: STREAMS.features, epoch, sequence: index + 1 })
  const reason = reasons[index % reasons.length] ?? 'shed'
  const description = `the reason in words, number ${index % DESCRIPTIONS}`
  const made = { worker: 'w', at: Date.now(), deliveryCount: 1, storedAt: Date.now() }
  const provenance = { ...made, modelVersion: '1', inputDigest: payloadDigest(body) }
  return deadLetterMessage(event, subject, { reason, description, stage: 'infer' }, provenance)
}

/** Runs it so often, and says the median with the memory it took at most. */
async function measure(name: string, work: () => Promise<string>): Promise<void> {
  const times: number[] = []
  let said = ''
  let peak = 0
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage().rss)
  }, 20)
  for (let run = 0; run < runs; run++) {
    const startedAt = performance.now()
    said = await work()
    times.push(performance.now() - startedAt)
  }
  clearInterval(watch)
  const grown = Math.max(0, peak - before) / 1024 ** 2
  const all = times.map((ms) => ms.toFixed(0)).join(', ')
  console.log(`${name}: ${median(times).toFixed(0)} ms (${all}); +${grown.toFixed(0)} MiB; ${said}`)
}

const broker = await startTestBroker()
try {
  const connection = await broker.connect()
  await broker.provision()
  await store(connection)
  const state = (await streamInfo(connection, STREAMS.deadLetters))?.state
  console.log(`${state?.messages} dead letters, ${((state?.bytes ?? 0) / 1024 ** 2).toFixed(0)} MiB`)
  const page = async (options: Parameters<typeof pageDeadLetters>[1]): Promise<string> => {
    const { entries, next } = await pageDeadLetters(connection, options)
    return `${entries.length} entries from ${entries[0]?.sequence}, next ${next}`
  }
  await measure('first page, oldest first', () => page({}))
  await measure('first page, newest first', () => page({ first: 'newest' }))
  await measure('a page in the middle, newest first', () => page({ first: 'newest', cursor: letters / 2 }))
  await measure('first page of one model and reason, newest first', () =>
    page({ first: 'newest', filter: { model: 'fraud', reason: 'shed' } }),
  )
  await measure('a page of what is not there', () => page({ filter: { text: 'no such words' } }))
  await measure('count by model, reason, description', async () => {
    const groups = await groupDeadLetters(browseDeadLetters(connection))
    return `${groups.length} groups of ${groups.reduce((sum, { count }) => sum + count, 0)}`
  })
  const kept = new KeptCounts(connection)
  await measure('count by the control service: once, then what is new', async () => {
    const groups = await kept.groups()
    return `${groups.length} groups`
  })
  await measure('count, with the payloads read as well', async () => {
    const groups = await groupDeadLetters(readDeadLetters(connection))
    return `${groups.length} groups`
  })
  await measure('plan of a replay', async () => {
    const { matching, sent } = await planReplay(connection, {}, { keepDeadline: false })
    return `${sent} of ${matching}`
  })
  const patch = '[{"op":"add","path":"/features/x","value":1}]'
  await measure('plan of a replay with a patch', async () => {
    const { matching, sent } = await planReplay(connection, {}, { keepDeadline: false, patch })
    return `${sent} of ${matching}`
  })
  console.log(`peak of this process: ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`)
} finally {
  await broker.stop()
}
