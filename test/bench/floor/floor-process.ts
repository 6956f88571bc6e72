import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { openBatchModel } from './batch-model.ts'
import { answerTexts, ledgerText, type Waiting } from './texts.ts'
import { type Frame, openWire } from './wire.ts'

// How cheap an event can be on this machine: the raw loop with the model, on the streams and consumers of Pelton. Pulls,
// parses the JSON, checks types, fills columns, runs the model inline in batches of 64, stores each answer with its
// expected sequence, and after the last PubAck of a batch its ledger record, after whose PubAck it acknowledges.
// What it leaves out is what Pelton is measured by: tokens and digests, deadlines, lanes, retries, dead letters, bounds in
// bytes, reconnects. It is frozen: it may become faster, never slower, and takes nothing from Pelton on its hot path.
//
// PELTON_NATS_URL, PELTON_MODELS as a worker has them. Argument `bare`: acknowledges after the PubAcks of the answers, and
// waits for no word of the ledger.

const BATCH = 64
const PULL = 512
const MOST_HELD = 2_048
/** A batch that does not fill is run after this. */
const FLUSH_EVERY_MS = 2
const PULL_EXPIRES_NS = 60_000_000_000
const VERSION = '2'
const SID = { deliveries: 1, stored: 2, recorded: 3 } as const
/** In the order of what a client may be told: short, because it stands in each command. */
const INBOX = `_F.${process.pid}`

const { PELTON_NATS_URL: url = '', PELTON_MODELS: models = '' } = process.env
const isBare = process.argv.includes('bare')
const ofPool = featureConsumer('default', 'normal')
const nextMessage = `$JS.API.CONSUMER.MSG.NEXT.${ofPool.stream}.${ofPool.durable_name}`
const ledger = subjects.ledger('default')

/** A batch whose answers are on their way. */
interface Sent {
  readonly events: readonly Waiting[]
  missing: number
}

const model = await openBatchModel(join(models, DEMO_MODEL, VERSION, 'model.onnx'))
const answerFor = {
  model: DEMO_MODEL,
  version: VERSION,
  subject: subjects.result(DEMO_MODEL, ''),
  epoch: await createdAt(STREAMS.features),
  worker: `floor-${process.pid}`,
}
const texts = answerTexts(answerFor)
const sent = new Map<string, Sent>()
const queue: Waiting[] = []
let isRunning = false
let held = 0
let asked = 0
let next = 0

async function createdAt(stream: string): Promise<string> {
  const connection = await connect({ servers: url })
  const info = await streamInfo(connection, stream)
  await connection.close()
  return info?.created ?? ''
}

function pull(): void {
  while (held + asked + PULL <= MOST_HELD) {
    const wanted = `{"batch":${PULL},"expires":${PULL_EXPIRES_NS}}`
    wire.put(`PUB ${nextMessage} ${INBOX}.p.x ${wanted.length}\r\n${wanted}\r\n`)
    asked += PULL
  }
}

async function runBatches(atLeast: number): Promise<void> {
  if (isRunning) return
  isRunning = true
  while (queue.length >= atLeast) {
    const events = queue.splice(0, BATCH)
    const startedAt = performance.now()
    const outputs = await model.predict(events.map(({ features }) => features))
    send(events, outputs, performance.now() - startedAt)
  }
  isRunning = false
}

function send(events: readonly Waiting[], outputs: readonly string[], inferenceMs: number): void {
  const key = (next++).toString(36)
  sent.set(key, { events, missing: events.length })
  const facts = texts.facts({ at: new Date(), inferenceMs, rows: events.length })
  const inbox = `${INBOX}.a.${key}`
  for (let index = 0; index < events.length; index++)
    wire.put(texts.answer(events[index] as Waiting, outputs[index] as string, facts, inbox))
}

function record(key: string, { events }: Sent): void {
  const text = ledgerText(events, answerFor)
  wire.put(`PUB ${ledger} ${INBOX}.l.${key} ${text.length}\r\n${text}\r\n`)
  if (isBare) acknowledge(key)
}

function acknowledge(key: string): void {
  const batch = sent.get(key)
  if (batch === undefined) return // done already, without the word of the ledger
  sent.delete(key)
  held -= batch.events.length
  for (const { ack } of batch.events) wire.put(`PUB ${ack} 4\r\n+ACK\r\n`)
  pull()
}

function onFrame({ sid, subject, reply, bytes, headersAt, payloadAt, end }: Frame): void {
  if (sid === SID.deliveries) {
    const head = bytes.toString('latin1', headersAt, payloadAt)
    if (reply === '') onPullEnd(head)
    else receive(reply, head, bytes.toString('utf8', payloadAt, end))
    return
  }
  const payload = bytes.toString('latin1', payloadAt, end)
  if (payload.includes('"error"')) throw new Error(payload)
  const key = subject.slice(subject.lastIndexOf('.') + 1)
  if (sid === SID.recorded) acknowledge(key)
  else noteStored(key)
}

function noteStored(key: string): void {
  const batch = sent.get(key)
  if (batch !== undefined && --batch.missing === 0) record(key, batch)
}

function receive(ack: string, head: string, payload: string): void {
  held++
  asked--
  const sequence = ack.split('.')[5] ?? ''
  const { features } = JSON.parse(payload) as Pick<Waiting, 'features'>
  queue.push({ id: headerOf(head, ID), token: headerOf(head, TOKEN), ack, sequence, features })
  if (queue.length === BATCH) setImmediate(() => void runBatches(BATCH))
}

const ID = `\n${HEADERS.id}: `
const TOKEN = `\n${HEADERS.messageId}: `

function headerOf(head: string, name: string): string {
  const at = head.indexOf(name) + name.length
  return head.slice(at, head.indexOf('\r', at))
}

/** A pull that is over names how much of it was left. */
function onPullEnd(status: string): void {
  if (status.startsWith('NATS/1.0 100')) return
  const left = /Nats-Pending-Messages: (\d+)/i.exec(status)?.[1]
  if (left === undefined) throw new Error(`a pull ended: ${status}`)
  asked -= Number(left)
  pull()
}

process.on('SIGTERM', () => process.exit(0))
const wire = await openWire(url, onFrame)
wire.subscribe(`${INBOX}.p.*`, SID.deliveries)
wire.subscribe(`${INBOX}.a.*`, SID.stored)
wire.subscribe(`${INBOX}.l.*`, SID.recorded)
setInterval(() => void runBatches(1), FLUSH_EVERY_MS)
process.send?.({ kind: 'state', state: 'ready' })
pull()
