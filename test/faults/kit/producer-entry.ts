import { openOutbox } from '../../../shared/sdk/outbox.ts'
import { createProducer, type Receipt } from '../../../shared/sdk/producer.ts'
import type { StagedEvent } from './stage-events.ts'

/** What became of an event, to the process that gave it. */
export interface ProducerWord {
  readonly id: string
  readonly receipt?: Receipt
  readonly failure?: string
}

interface Sender {
  publish(event: StagedEvent): Promise<Receipt>
  /** Ends once all is stored. */
  close(): Promise<void>
}

// Publishes each event it is sent and says what became of it, until told to close:
// `node producer-entry.ts <url> <source> [folder of an outbox]`.
const [url = '', source = '', path = ''] = process.argv.slice(2)
const early: unknown[] = []
let receive = (message: unknown): void => void early.push(message)
process.on('message', (message) => receive(message))
process.on('disconnect', () => process.exit(1))

const sender = path === '' ? await plainSender() : await outboxSender()
receive = (message) => {
  if (message === 'close') void end()
  else void publish(message as StagedEvent)
}
for (const message of early) receive(message)

async function publish(event: StagedEvent): Promise<void> {
  const { id } = event
  const word: ProducerWord = await sender.publish(event).then(
    (receipt) => ({ id, receipt }),
    (thrown: unknown) => ({ id, failure: String(thrown) }),
  )
  process.send?.(word)
}

async function end(): Promise<void> {
  await sender.close()
  process.exit(0)
}

async function plainSender(): Promise<Sender> {
  return createProducer({ url, source, fullRetryMs: 600_000 })
}

async function outboxSender(): Promise<Sender> {
  const outbox = await openOutbox({ url, source, path, whenFull: 'wait' })
  return {
    publish: async (event) => {
      const { id, token, position } = await outbox.publish(event)
      return { id, token, sequence: position, duplicate: false, tries: 1 }
    },
    close: () => outbox.close({ drain: true, timeoutMs: 300_000 }),
  }
}
