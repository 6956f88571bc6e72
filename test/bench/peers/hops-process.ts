import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer } from '../../../shared/sdk/contract/topology.ts'
import { openWire } from '../floor/wire.ts'

// What two hops through the broker cost: takes an event from its consumer, stores it as it is as its result, acknowledges.
// With the path of a model: its answer instead, of a thread that does nothing else.
// Arguments: name of the model, path of the model.

const [DELIVERIES, STORED] = [1, 2]
const INBOX = `_H.${process.pid}`
const TOKEN = `\n${HEADERS.messageId}: `
const { PELTON_NATS_URL: url = '' } = process.env
const [model = '', path] = process.argv.slice(2)
const { stream, durable_name: consumer } = featureConsumer('default', 'normal')
const register = subjects.result(model, '')
/** Acknowledgements by the inbox of what has to be stored before. */
const waiting = new Map<string, string>()
let next = 0

/** An event that was handed out. */
interface Taken {
  readonly token: string
  /** Where it is acknowledged. */
  readonly reply: string
}
/** What the thread has not answered yet, in order. */
const asked: Taken[] = []
const entry = fileURLToPath(new URL('./answer-thread-process.js', import.meta.url))
const thread = path === undefined ? undefined : new Worker(entry, { workerData: { path } })
thread?.on('error', (thrown) => {
  throw thrown
})

/** Stores the answer of an event, to be acknowledged after that, and asks for the next. */
function store({ token, reply }: Taken, answer: string): void {
  const inbox = `${INBOX}.a.${next++}`
  waiting.set(inbox, reply)
  wire.put(`PUB ${register}${token} ${inbox} ${Buffer.byteLength(answer)}\r\n${answer}\r\n`)
  pull()
}

function pull(): void {
  const wanted = '{"batch":1,"expires":3600000000000}'
  wire.put(
    `PUB $JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer} ${INBOX}.p.x ${wanted.length}\r\n${wanted}\r\n`,
  )
}

const wire = await openWire(url, ({ sid, subject, reply, bytes, headersAt, payloadAt, end }) => {
  if (sid === STORED) {
    wire.put(`PUB ${waiting.get(subject)} 4\r\n+ACK\r\n`)
    waiting.delete(subject)
  } else if (reply !== '') {
    const head = bytes.toString('latin1', headersAt, payloadAt)
    const at = head.indexOf(TOKEN) + TOKEN.length
    const token = head.slice(at, head.indexOf('\r', at))
    const payload = bytes.toString('latin1', payloadAt, end)
    if (thread === undefined) store({ token, reply }, payload)
    else {
      asked.push({ token, reply })
      thread.postMessage(payload)
    }
  }
})
thread?.on('message', (answer: string) => store(asked.shift() as Taken, answer))
wire.subscribe(`${INBOX}.p.*`, DELIVERIES)
wire.subscribe(`${INBOX}.a.*`, STORED)
pull()
process.on('SIGTERM', () => process.exit(0))
process.send?.({ kind: 'state', state: 'ready' })
