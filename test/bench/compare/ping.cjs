// Preloaded into a process: how long its loop takes to hear the broker's answer to a ping, over a connection of its own.
// CommonJS, as thread-name.cjs. Writes `<when> <how long>`, milliseconds, a line each,
// into `$PELTON_BENCH_PINGS.<process id>` when the process ends.
const { writeFileSync } = require('node:fs')
const { connect } = require('node:net')
const { isMainThread } = require('node:worker_threads')

const EVERY_MS = 10

function pingOn() {
  const { hostname, port } = new URL(process.env.PELTON_NATS_URL)
  const lines = []
  let sentAt
  const socket = connect(Number(port), hostname).setNoDelay(true).unref()
  socket.on('error', () => undefined)
  socket.on('data', (chunk) => {
    if (sentAt !== undefined && chunk.includes('PONG')) {
      lines.push(`${Date.now()} ${performance.now() - sentAt}`)
      sentAt = undefined
    }
    if (chunk.includes('PING')) socket.write('PONG\r\n')
  })
  socket.write('CONNECT {"verbose":false,"pedantic":false,"lang":"ping","version":"1"}\r\n')
  setInterval(() => {
    if (sentAt !== undefined) return
    sentAt = performance.now()
    socket.write('PING\r\n')
  }, EVERY_MS).unref()
  process.on('exit', () =>
    writeFileSync(`${process.env.PELTON_BENCH_PINGS}.${process.pid}`, lines.join('\n')),
  )
}

if (isMainThread && process.env.PELTON_BENCH_PINGS && process.env.PELTON_NATS_URL) pingOn()
