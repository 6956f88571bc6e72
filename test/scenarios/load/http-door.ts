import { connect, type Socket } from 'node:net'
import type { Answers, Door, Sending } from './door.ts'
import { readAnswer } from './http-answer.ts'
import { type OfSources, ofSources } from './schedule.ts'

export interface HttpDoorOptions {
  /** URL that events of each source are posted to, all on one host. */
  readonly addresses: OfSources<string>
  /** Whether priority and timeout are told, as parameters of the Open Inference Protocol. */
  readonly hasParameters: boolean
  /** Whether a connection is used again. */
  readonly keepsAlive: boolean
  /** API key of each source. @default none is sent */
  readonly keys?: OfSources<string>
  readonly deadlineMs: number
}

/** A request that waits on its connection. */
interface Asked {
  readonly index: number
  readonly answers: Answers
}

const US_PER_MS = 1_000

/**
 * Requests over HTTP, one at a time on each connection, as many connections as it takes: nobody waits for another. Written by
 * hand onto bare sockets, because it shares the cores with who answers.
 */
export class HttpDoor implements Door {
  readonly #options: HttpDoorOptions
  readonly #heads: OfSources<string>
  readonly #host: string
  readonly #port: number
  readonly #idle = new Set<Socket>()
  readonly #busy = new Map<number, Socket>()
  readonly #all = new Set<Socket>()
  readonly #asked = new WeakMap<Socket, Asked>()

  constructor(options: HttpDoorOptions) {
    this.#options = options
    const { hostname, port } = new URL(options.addresses.other)
    this.#host = hostname
    this.#port = Number(port)
    const connection = options.keepsAlive ? '' : 'Connection: close\r\n'
    this.#heads = ofSources((source) => {
      const key = options.keys?.[source]
      const head = `POST ${new URL(options.addresses[source]).pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n`
      const identity = key === undefined ? '' : `X-Api-Key: ${key}\r\n`
      return `${head}${connection}${identity}Content-Type: application/json\r\n`
    })
  }

  send(sending: Sending, answers: Answers): void {
    const socket = this.#takeIdle() ?? this.#open()
    const { index } = sending
    this.#asked.set(socket, { index, answers })
    this.#busy.set(index, socket)
    const body = this.#bodyOf(sending)
    socket.write(`${this.#heads[sending.source]}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  }

  giveUp(index: number): undefined {
    this.#busy.get(index)?.destroy()
    this.#busy.delete(index)
  }

  async close(): Promise<void> {
    for (const socket of this.#all) socket.destroy()
  }

  #takeIdle(): Socket | undefined {
    const [socket] = this.#idle
    if (socket !== undefined) this.#idle.delete(socket)
    return socket
  }

  #bodyOf({ features, isHigh }: Sending): string {
    if (!this.#options.hasParameters) return JSON.stringify({ features })
    const parameters = { timeout: US_PER_MS * this.#options.deadlineMs, priority: isHigh ? 1 : 2 }
    return JSON.stringify({ features, parameters })
  }

  #open(): Socket {
    const socket = connect(this.#port, this.#host).setNoDelay(true)
    let rest = ''
    this.#all.add(socket)
    socket.on('data', (chunk) => {
      rest += chunk.toString('latin1')
      const answer = readAnswer(rest)
      if (answer === undefined) return
      rest = ''
      const asked = this.#take(socket)
      if (asked !== undefined) answer.tell(asked.answers, asked.index)
      if (this.#options.keepsAlive && answer.keepsAlive) this.#idle.add(socket)
      else socket.destroy()
    })
    // What is broken is told when it closes.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#all.delete(socket)
      this.#idle.delete(socket)
      const asked = this.#take(socket)
      asked?.answers.doubted(asked.index, 'the connection broke')
    })
    return socket
  }

  #take(socket: Socket): Asked | undefined {
    const asked = this.#asked.get(socket)
    this.#asked.delete(socket)
    if (asked !== undefined) this.#busy.delete(asked.index)
    return asked
  }
}
