import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { intendedMs } from '../compare/pacing.ts'
import { openHttpConnection } from './http-connection.ts'
import { readTask, reportMilestone } from './peer-task.ts'

// Requests over a few connections that stay, at a steady rate whatever comes of them. Tells each latency, from when it was to
// be sent on.

const CONNECTIONS = 64
const TICK_MS = 1
/** Where to, how many a second, and the status each is answered with. */
const [address = '', perSecond = '', status = '200'] = process.argv.slice(2)
const task = readTask()
const url = new URL(address)
const head = `POST ${url.pathname} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Type: application/json\r\n`
const requests = (JSON.parse(readFileSync(task.flights, 'utf8')) as unknown[]).map((features) => {
  const body = JSON.stringify({ features })
  return `${head}Content-Length: ${body.length}\r\n\r\n${body}`
})
const all = task.warmUp + task.events
const idle: Socket[] = []
const sentAs = new Map<Socket, number>()
const latenciesMs: number[] = []
let startedAt = 0
let sent = 0
let answered = 0

const dueMs = (index: number): number => startedAt + intendedMs(index, Number(perSecond))

function sendDue(): void {
  while (sent < all && dueMs(sent) <= performance.now()) {
    const socket = idle.pop()
    if (socket === undefined) return
    sentAs.set(socket, sent)
    socket.write(requests[sent++ % requests.length] ?? '')
  }
}

function onAnswer(socket: Socket, text: string): void {
  if (!text.startsWith(`HTTP/1.1 ${status}`)) throw new Error(text)
  answered++
  if (answered > task.warmUp) latenciesMs.push(performance.now() - dueMs(sentAs.get(socket) ?? 0))
  if (answered === task.warmUp) reportMilestone('warm', answered)
  if (answered === all) reportMilestone('done', answered, { latenciesMs })
  idle.push(socket)
  sendDue()
}

for (let each = 0; each < CONNECTIONS; each++) {
  const socket = openHttpConnection(url, (text) => onAnswer(socket, text))
  socket.once('connect', () => {
    idle.push(socket)
    if (idle.length < CONNECTIONS) return
    startedAt = performance.now()
    setInterval(sendDue, TICK_MS)
  })
}
process.send?.({ kind: 'state', state: 'ready' })
process.once('disconnect', () => process.exit(0))
