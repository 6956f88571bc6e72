import { connect } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { readFrameHeaders } from '../../../shared/sdk/jetstream/frame.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { PullLane } from '../../../shared/sdk/jetstream/pull-lane.ts'

// What the broker and the client alone allow: pull an event, store an answer of a prediction's size under a subject of
// its own with the expected sequence, acknowledge. No decoding, no checks, no model, no ledger.

const { PELTON_NATS_URL: url = '' } = process.env
/** What a prediction for a flight takes with its headers, less those of this loop, which stores as much. */
const ANSWER_BYTES = 800
const connection = await connect({ servers: url })
const window = new PublishWindow(connection)
const answer = new Uint8Array(ANSWER_BYTES).fill(0x20)
let held = 0
let release: (() => void) | undefined

async function settle(token: string, ackSubject: string): Promise<void> {
  const reply = await window.publish({
    subject: subjects.result('bare', token),
    headers: [
      [HEADERS.expectedStream, STREAMS.results],
      [HEADERS.expectedSubjectSequence, '0'],
    ],
    body: answer,
  })
  if (reply.kind !== 'stored') throw new Error(`not stored: ${reply.description}`)
  connection.publish(ackSubject, '+ACK')
  held--
  release?.()
}

const { stream, durable_name: consumer } = featureConsumer('default', 'normal')
const lane = new PullLane(connection, { stream, consumer }, (message) => {
  held++
  void settle(readHeader(readFrameHeaders(message), HEADERS.messageId) ?? '', message.reply)
})
process.on('SIGTERM', () => process.exit(0))
process.send?.({ kind: 'state', state: 'ready' })
for (;;) {
  while (held > 1_536)
    await new Promise<void>((resolve) => {
      release = resolve
    })
  await lane.pull({ batch: 512, maxBytes: 64 * 2 ** 20, idleMs: 1_000, lingerMs: 2 })
}
