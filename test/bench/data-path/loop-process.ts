import { readDeliverySubject } from '../../../shared/sdk/contract/delivery-subject.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { ACK } from '../../../shared/sdk/jetstream/ack-words.ts'
import { readStoredAnswer } from '../../../shared/sdk/jetstream/stored-answer.ts'
import { CARRIERS, type CarrierName } from './carriers.ts'

// Pulls so many events, stores an answer of a prediction's size for each under a subject of its own, and acknowledges it once
// the stream has it: what the way of an event costs on the wire, and nothing else. Says what it took, in CPU and time.

const [carrierName = '', url = '', wanted = ''] = process.argv.slice(2)
const events = Number(wanted)
const carrier = await CARRIERS[carrierName as CarrierName](url)
const inbox = `_L.${process.pid}`
const PULL = 512
const MOST_HELD = 2_048
const answer = `{"outputs":[${'0.4391104578971863,'.repeat(8)}0]}`
const fields = [
  'specversion: 1.0',
  'type: pelton.prediction',
  'source: pelton/default',
  `id: ${'x'.repeat(36)}`,
]
const constant = `${fields.map((field) => `ce-${field}\r\n`).join('')}Pelton-Filler: ${'x'.repeat(420)}\r\n`
const headers =
  `NATS/1.0\r\n${constant}Nats-Expected-Stream: ${STREAMS.results}\r\n` +
  'Nats-Expected-Last-Subject-Sequence: 0\r\n\r\n'

const { stream, durable_name: consumer } = featureConsumer('default', 'normal')
const pull = (): void => {
  const request = `{"batch":${PULL},"expires":60000000000}`
  carrier.say(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, `${inbox}.p.x`, '', request)
  asked += PULL
}
const waiting = new Map<string, string>()
let asked = 0
let held = 0
let settled = 0

carrier.hear(`${inbox}.p.*`, (_subject, reply) => {
  if (reply === '') return
  const sequence = readDeliverySubject(reply)?.streamSequence ?? 0
  const id = sequence.toString(36)
  waiting.set(id, reply)
  held++
  carrier.say(subjects.result('loop', id), `${inbox}.a.${id}`, headers, answer)
})

carrier.hear(`${inbox}.a.*`, (subject, _reply, payload) => {
  if (readStoredAnswer(payload) === 0) throw new Error(Buffer.from(payload).toString())
  const id = subject.slice(subject.lastIndexOf('.') + 1)
  carrier.say(waiting.get(id) ?? '', '', '', ACK)
  waiting.delete(id)
  held--
  if (++settled === events) end()
  else if (asked < events && asked - settled + PULL <= MOST_HELD && held < MOST_HELD) pull()
})

const startedAt = performance.now()
const before = process.cpuUsage()
for (let pulls = 0; pulls < MOST_HELD / PULL && asked < events; pulls++) pull()

function end(): void {
  const { user, system } = process.cpuUsage(before)
  const took = { cpuUs: (user + system) / events, ms: performance.now() - startedAt }
  // The last acknowledgements go with this turn of the loop.
  setTimeout(() => process.send?.(took, () => process.exit(0)), 100)
}
