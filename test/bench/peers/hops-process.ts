import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer } from '../../../shared/sdk/contract/topology.ts'
import { openWire } from '../floor/wire.ts'

// What two hops through the broker cost: takes an event from its consumer, stores it as it is as its result, acknowledges.

const [DELIVERIES, STORED] = [1, 2]
const INBOX = `_H.${process.pid}`
const TOKEN = `\n${HEADERS.messageId}: `
const { PELTON_NATS_URL: url = '' } = process.env
const [model = ''] = process.argv.slice(2)
const { stream, durable_name: consumer } = featureConsumer('default', 'normal')
const register = subjects.result(model, '')
/** Acknowledgements by the inbox of what has to be stored before. */
const waiting = new Map<string, string>()
let next = 0

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
    const inbox = `${INBOX}.a.${next++}`
    waiting.set(inbox, reply)
    const payload = bytes.toString('latin1', payloadAt, end)
    wire.put(
      `PUB ${register}${head.slice(at, head.indexOf('\r', at))} ${inbox} ${payload.length}\r\n${payload}\r\n`,
    )
    pull()
  }
})
wire.subscribe(`${INBOX}.p.*`, DELIVERIES)
wire.subscribe(`${INBOX}.a.*`, STORED)
pull()
process.on('SIGTERM', () => process.exit(0))
process.send?.({ kind: 'state', state: 'ready' })
