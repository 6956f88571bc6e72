import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { openHttpConnection } from './http-connection.ts'
import { readTask, reportMilestone } from './peer-task.ts'

// Requests over a few connections that stay, the next as soon as one is answered.

const CONNECTIONS = 64
/** Where to, further lines of headers, whether each request has an idempotency key of its own, and what each is answered. */
const [address = '', more = '', isKeyed = '', status = '200'] = process.argv.slice(2)
const task = readTask()
const url = new URL(address)
const head = `POST ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Type: application/json\r\n${more}`
const requests = (JSON.parse(readFileSync(task.flights, 'utf8')) as unknown[]).map((features) => {
  const body = JSON.stringify({ features })
  return `Content-Length: ${body.length}\r\n\r\n${body}`
})
/** When the request of a connection was sent. */
const sentAtMs = new Map<Socket, number>()
const latenciesMs: number[] = []
let sent = 0
let answered = 0

function ask(socket: Socket): void {
  if (sent >= task.warmUp + task.events) return
  sentAtMs.set(socket, performance.now())
  const key = isKeyed === '' ? '' : `Idempotency-Key: "bench-${sent}"\r\n`
  socket.write(head + key + (requests[sent++ % requests.length] ?? ''))
}

function onAnswer(socket: Socket, text: string): void {
  if (!text.startsWith(`HTTP/1.1 ${status}`)) throw new Error(text)
  answered++
  if (answered > task.warmUp) latenciesMs.push(performance.now() - (sentAtMs.get(socket) ?? 0))
  if (answered === task.warmUp) reportMilestone('warm', answered)
  if (answered === task.warmUp + task.events) reportMilestone('done', answered, { latenciesMs })
  ask(socket)
}

for (let each = 0; each < CONNECTIONS; each++) {
  const socket = openHttpConnection(url, (text) => onAnswer(socket, text))
  socket.once('connect', () => ask(socket))
}
process.send?.({ kind: 'state', state: 'ready' })
process.once('disconnect', () => process.exit(0))
