import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

/** Where the system takes no ports for outgoing connections: a node that is down keeps its own. */
const PORTS = { first: 20_000, last: 31_999 }

/**
 * Different ports of TCP on 127.0.0.1 where nobody listens. Each is this process's until it ends: tests that run beside this
 * one in other processes find others, also before the server it is for listens there.
 */
export async function freePorts(count: number): Promise<number[]> {
  const found: number[] = []
  while (found.length < count) {
    const port = PORTS.first + Math.floor(Math.random() * (PORTS.last - PORTS.first + 1))
    if ((await isFree(port)) && (await claim(port))) found.push(port)
  }
  return found
}

/**
 * The UDP port of the same number, kept to the end of this process, is what says that the TCP port is taken: the system gives
 * it to one process, takes it back however that ends, and nothing here speaks UDP.
 */
function claim(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => {
      socket.close()
      resolve(false)
    })
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => resolve(true))
    socket.unref()
  })
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
