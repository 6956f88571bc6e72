import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The way of bytes through a proxy, seen from who dialled. */
export type Way = 'to-target' | 'from-target'

/**
 * A wire between a client and a server on the loopback interface that can be cut. What is sent over a wire that is
 * cut is held, as a network would have it sent again, and arrives once the wire is whole; a connection that is
 * dialled meanwhile is not answered. Whoever has given up by then finds the connection closed.
 */
export interface TcpProxy {
  readonly port: number
  /** Connections open through it. */
  readonly size: number
  /** Bytes that went through since it was opened. */
  readonly carried: Readonly<Record<Way, number>>
  /** Lets nothing through any more on these ways, both by default. Cutting one way leaves the other as it was. */
  cut(...ways: Way[]): void
  /** Lets everything through again, what was held first. */
  heal(): void
  /** Ends the open connections with a reset, as a router that restarts does. */
  reset(): void
  /** Ends everything. May be called again. */
  close(): Promise<void>
}

interface Wire {
  readonly client: Socket
  /** Undefined until the dialling was let through. */
  target: Socket | undefined
}

/** Opens a proxy on a free port, or on `port`, to a port on 127.0.0.1 that need not be served yet. */
export async function openTcpProxy(targetPort: number, port = 0): Promise<TcpProxy> {
  const wires = new Set<Wire>()
  const isCut: Record<Way, boolean> = { 'to-target': false, 'from-target': false }
  const carried: Record<Way, number> = { 'to-target': 0, 'from-target': 0 }

  function carry(from: Socket, to: Socket, way: Way): void {
    from.on('data', (bytes) => {
      carried[way] += bytes.length
      if (!to.write(bytes)) from.pause()
    })
    to.on('drain', () => {
      if (!isCut[way]) from.resume()
    })
    if (isCut[way]) from.pause()
  }

  /** A handshake needs both ways: while one is cut, who dials waits. */
  function dial(wire: Wire): void {
    if (isCut['to-target'] || isCut['from-target'] || wire.target !== undefined) return
    const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    wire.target = target
    endTogether(wire.client, target)
    carry(wire.client, target, 'to-target')
    carry(target, wire.client, 'from-target')
  }

  const server = createServer({ noDelay: true, pauseOnConnect: true }, (client) => {
    const wire: Wire = { client, target: undefined }
    wires.add(wire)
    client.on('error', () => client.destroy())
    client.on('close', () => wires.delete(wire))
    dial(wire)
    if (wire.target !== undefined) client.resume()
  })
  return proxyOf(await listen(server, port), server, { wires, isCut, carried, dial })
}

interface Inside {
  readonly wires: ReadonlySet<Wire>
  readonly isCut: Record<Way, boolean>
  readonly carried: Readonly<Record<Way, number>>
  readonly dial: (wire: Wire) => void
}

function proxyOf(port: number, server: Server, { wires, isCut, carried, dial }: Inside): TcpProxy {
  const each = (act: (socket: Socket) => void): void => {
    for (const { client, target } of [...wires]) {
      act(client)
      if (target !== undefined) act(target)
    }
  }
  return {
    port,
    get size() {
      return wires.size
    },
    carried,
    cut: (...ways) => {
      for (const way of ways.length === 0 ? (['to-target', 'from-target'] as const) : ways) {
        isCut[way] = true
        for (const { client, target } of wires) (way === 'to-target' ? client : target)?.pause()
      }
    },
    heal: () => {
      isCut['to-target'] = false
      isCut['from-target'] = false
      for (const wire of wires) dial(wire)
      each((socket) => socket.resume())
    },
    reset: () => each((socket) => socket.resetAndDestroy()),
    close: async () => {
      each((socket) => socket.destroy())
      if (!server.listening) return
      server.close()
      await once(server, 'close')
    },
  }
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** What one side ends, in peace or not, ends on the other. */
function endTogether(client: Socket, target: Socket): void {
  const pair: readonly [Socket, Socket][] = [
    [client, target],
    [target, client],
  ]
  for (const [one, other] of pair) {
    one.on('error', () => {
      one.destroy()
      other.destroy()
    })
    one.on('end', () => other.end())
    one.on('close', () => other.destroySoon())
  }
}
