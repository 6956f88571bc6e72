import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { openHttpConnection } from './http-connection.ts'
import { readTask, reportMilestone } from './peer-task.ts'

// Requests over a few connections that stay, the next as soon as one is answered.

const CONNECTIONS = 64
/** Where to, further lines of headers, and whether each request has an idempotency key of its own. */
const [address = '', more = '', isKeyed = ''] = process.argv.slice(2)
const task = readTask()
const url = new URL(address)
const head = `POST ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Type: application/json\r\n${more}`
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
  const socket = openHttpConnection(url, (text) => onAnswer(socket, text))
  socket.once('connect', () => ask(socket))
}
process.send?.({ kind: 'state', state: 'ready' })
process.once('disconnect', () => process.exit(0))
