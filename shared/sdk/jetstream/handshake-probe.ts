import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { TlsMaterial } from './tls-files.ts'
import { hostOf, identityCheck } from './tls-files.ts'

/** How long one step of a handshake may take, milliseconds. */
const STEP_MS = 3_000

export interface ProbeOptions {
  /** `host:port`. */
  readonly address: string
  /** Hosts of all addresses: one of them stands in the broker's certificate. */
  readonly hosts: readonly string[]
  /** What is shown and trusted; undefined where TLS is up to the broker. */
  readonly tls: (TlsMaterial & { readonly handshakeFirst: boolean }) | undefined
}

/**
 * Why a handshake fails for which the client has no words: a broker that waits for TLS first says nothing, and one that refuses
 * a client certificate (TLS 1.3) says so only after the handshake, to nobody. Opens a connection of its own and says hello.
 *
 * @returns undefined where nothing is wrong, or the client says it itself
 */
export async function probeHandshake(options: ProbeOptions): Promise<unknown> {
  let socket: Socket | undefined
  try {
    const { tls } = options
    socket = tls?.handshakeFirst === true ? undefined : await dial(options.address)
    const greeting = socket === undefined ? undefined : await firstWords(socket)
    if (greeting?.tls_required !== true && tls === undefined) return undefined
    const secure = await handshake(options, socket)
    socket = secure
    await farewell(secure)
    return undefined
  } catch (thrown) {
    return thrown
  } finally {
    socket?.destroy()
  }
}

function dial(address: string): Promise<Socket> {
  const socket = connectTcp({ host: hostOf(address), port: portOf(address) })
  return step(socket, (done) => socket.once('connect', () => done(socket)))
}

interface Greeting {
  readonly tls_required?: boolean
}

async function firstWords(socket: Socket): Promise<Greeting> {
  const line = await step<string>(socket, (done) => {
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes.toString()
      if (text.includes('\n')) done(text)
    })
  }).catch((thrown: unknown) => {
    throw thrown instanceof Silence ? new Error('nothing is said before TLS') : thrown
  })
  socket.removeAllListeners('data').pause()
  return JSON.parse(/^INFO\s+(\{.*\})/.exec(line)?.[1] ?? '{}') as Greeting
}

async function handshake(
  { address, hosts, tls }: ProbeOptions,
  socket: Socket | undefined,
): Promise<TLSSocket> {
  const host = hostOf(address)
  const { ca, cert, key } = tls ?? {}
  const secure = connectTls({
    ...(socket === undefined ? { host, port: portOf(address) } : { socket }),
    ...(isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    checkServerIdentity: identityCheck(hosts),
  })
  return step(secure, (done) => secure.once('secureConnect', () => done(secure)))
}

/** Whoever is let in gets an answer; a refusal of the certificate comes in its place, as an error of the socket. */
async function farewell(socket: TLSSocket): Promise<void> {
  const answered = step<void>(socket, (done) => socket.once('data', () => done()))
  socket.write(
    'CONNECT {"verbose":false,"pedantic":false,"tls_required":true,"lang":"pelton","version":"1"}\r\nPING\r\n',
  )
  await answered.catch((thrown: unknown) => {
    if (!(thrown instanceof Silence)) throw thrown
  })
}

/** Nothing came in time, or the other end closed without a word. */
class Silence extends Error {}

/** One step on a socket: what it waits for, its error, its end, or the end of patience. */
function step<Result>(socket: Socket, begin: (done: (result: Result) => void) => void): Promise<Result> {
  return new Promise((resolve, reject) => {
    const fail = (thrown: Error): void => {
      clearTimeout(timer)
      reject(thrown)
    }
    const timer = setTimeout(() => fail(new Silence('no answer')), STEP_MS)
    socket.on('error', fail)
    socket.once('close', () => fail(new Silence('closed')))
    begin((result) => {
      clearTimeout(timer)
      resolve(result)
    })
  })
}

const DEFAULT_PORT = 4222

function portOf(address: string): number {
  return Number(/:(\d+)$/.exec(address)?.[1] ?? DEFAULT_PORT)
}
