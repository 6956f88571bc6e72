import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { openTcpProxy, type TcpProxy } from '../kit/tcp-proxy.ts'

let server: Server
let proxy: TcpProxy
/** What the server heard over all connections, and how many it had. */
let heard = ''
let greeted = 0
const sockets: Socket[] = []

/** Says `hello` to who connects and repeats what it is told in capitals. */
beforeEach(async () => {
  heard = ''
  greeted = 0
  server = createServer((socket) => {
    greeted++
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes) => {
      heard += bytes.toString()
      socket.write(bytes.toString().toUpperCase())
    })
    socket.on('end', () => socket.end())
    socket.write('hello ')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy = await openTcpProxy((server.address() as AddressInfo).port)
})

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await proxy.close()
  server.close()
  await once(server, 'close')
})

interface Client {
  readonly socket: Socket
  readonly received: () => string
  readonly ended: Promise<string>
}

function dial(): Client {
  const socket = connect(proxy.port, '127.0.0.1')
  sockets.push(socket)
  let received = ''
  let error = 'in peace'
  socket.on('data', (bytes) => {
    received += bytes.toString()
  })
  socket.on('error', (thrown: NodeJS.ErrnoException) => {
    error = thrown.code ?? ''
  })
  const ended = new Promise<string>((resolve) => socket.on('close', () => resolve(error)))
  return { socket, received: () => received, ended }
}

/** Long enough for bytes on the loopback to arrive, had they been let through. */
const aMoment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100))
const heardBy = (client: Client, text: string): Promise<void> =>
  vi.waitFor(() => expect(client.received()).toBe(text), { timeout: 60_000 })

describe('tcp proxy', () => {
  it('carries both ways, also more than a socket holds', async () => {
    const client = dial()
    client.socket.write('one')
    await heardBy(client, 'hello ONE')
    client.socket.write('x'.repeat(8_000_000))
    await heardBy(client, `hello ONE${'X'.repeat(8_000_000)}`)
    expect(proxy.carried).toEqual({ 'to-target': 8_000_003, 'from-target': 8_000_009 })
  })

  it('holds what is sent over a cut wire, and lets it through in order once it is whole', async () => {
    const client = dial()
    await heardBy(client, 'hello ')
    proxy.cut()
    client.socket.write('one')
    client.socket.write('two')
    await aMoment()
    expect({ heard, received: client.received() }).toEqual({ heard: '', received: 'hello ' })
    proxy.heal()
    await heardBy(client, 'hello ONETWO')
  })

  it('cuts one way and leaves the other', async () => {
    const client = dial()
    await heardBy(client, 'hello ')
    proxy.cut('from-target')
    client.socket.write('one')
    await vi.waitFor(() => expect(heard).toBe('one'), { timeout: 60_000 })
    await aMoment()
    expect(client.received()).toBe('hello ')
    proxy.heal()
    await heardBy(client, 'hello ONE')
    proxy.cut('to-target')
    client.socket.write('two')
    sockets[0]?.write('unasked')
    sockets[1]?.write('unasked')
    await vi.waitFor(() => expect(client.received()).toContain('unasked'), { timeout: 60_000 })
    expect(heard).not.toContain('two')
  })

  it.each(['to-target', 'from-target'] as const)('lets nobody dial while it is cut %s', async (way) => {
    proxy.cut(way)
    const client = dial()
    client.socket.write('one')
    await aMoment()
    expect({ greeted, received: client.received() }).toEqual({ greeted: 0, received: '' })
    proxy.heal()
    await heardBy(client, 'hello ONE')
  })

  it('ends one side when the other ends', async () => {
    const client = dial()
    await heardBy(client, 'hello ')
    client.socket.end()
    expect(await client.ended).toBe('in peace')
    await vi.waitFor(() => expect(proxy.size).toBe(0), { timeout: 60_000 })
  })

  it('resets what is open and takes new connections', async () => {
    const client = dial()
    await heardBy(client, 'hello ')
    proxy.reset()
    expect(await client.ended).toBe('ECONNRESET')
    await heardBy(dial(), 'hello ')
  })

  it('ends the connection of who dials a server that is not there', async () => {
    const [port] = [(server.address() as AddressInfo).port]
    server.close()
    await once(server, 'close')
    const client = dial()
    expect(await client.ended).toBeDefined()
    expect(client.received()).toBe('')
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  })
})
