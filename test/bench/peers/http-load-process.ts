import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { readTask, reportMilestone } from './peer-task.ts'

// Requests over a few connections that stay, the next as soon as one is answered. Written by hand onto bare sockets: it
// shares the cores with who answers, and shall cost as little as it can.

const CONNECTIONS = 64
/** Where to, further lines of headers, and whether each request has an idempotency key of its own. */
const [address = '', more = '', isKeyed = ''] = process.argv.slice(2)
const task = readTask()
const { hostname, port, pathname } = new URL(address)
const head = `POST ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\n${more}`
const requests = (JSON.parse(readFileSync(task.flights, 'utf8')) as unknown[]).map((features) => {
  const body = JSON.stringify({ features })
  return `Content-Length: ${body.length}\r\n\r\n${body}`
})
let sent = 0
let answered = 0

function ask(socket: Socket): void {
  if (sent >= task.warmUp + task.events) return
  const key = isKeyed === '' ? '' : `Idempotency-Key: "bench-${sent}"\r\n`
  socket.write(head + key + (requests[sent++ % requests.length] ?? ''))
}

function onAnswer(socket: Socket, text: string): void {
  if (!text.startsWith('HTTP/1.1 200')) throw new Error(text)
  answered++
  if (answered === task.warmUp) reportMilestone('warm', answered)
  if (answered === task.warmUp + task.events) reportMilestone('done', answered)
  ask(socket)
}

for (let each = 0; each < CONNECTIONS; each++) {
  const socket = connect(Number(port), hostname).setNoDelay(true)
  let rest = ''
  socket.on('data', (chunk) => {
    rest += chunk.toString('latin1')
    const head = rest.indexOf('\r\n\r\n')
    const length = Number(/content-length: (\d+)/i.exec(rest)?.[1])
    if (head < 0 || rest.length < head + 4 + length) return
    const text = rest
    rest = ''
    onAnswer(socket, text)
  })
  socket.once('connect', () => ask(socket))
}
process.send?.({ kind: 'state', state: 'ready' })
process.once('disconnect', () => process.exit(0))
