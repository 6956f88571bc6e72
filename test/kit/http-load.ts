import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** An answer over HTTP. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** How often the connection could not be had, or was one that the server had closed: then nothing was asked. */
  readonly dials: number
}

export interface HttpLoad {
  /** Sends a request to the next address, again where there is no connection, and reads its answer. */
  send(
    method: 'GET' | 'POST',
    path: string,
    body?: string,
    headers?: Record<string, string>,
  ): Promise<HttpAnswer>
  close(): void
}

/** Connections that could not be had, one after the other, before it gives up. */
const MOST_DIALS = 200
const AGAIN_MS = 100

/**
 * Clients behind a balancer: kept-alive connections to several addresses, which may change. Tried again is what reached no
 * server: a connection that is refused, or one kept alive that the server had closed meanwhile.
 *
 * @param connections to each address at most
 */
export function openHttpLoad(addresses: () => readonly string[], connections: number): HttpLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: 'fifo' })
  let turn = 0
  return {
    async send(method, path, body, headers) {
      for (let dials = 0; ; dials++) {
        const all = addresses()
        const address = all[turn++ % all.length]
        try {
          if (address === undefined) throw Object.assign(new Error('nobody listens'), { isUnasked: true })
          return { ...(await once(agent, method, `${address}${path}`, body, headers)), dials }
        } catch (thrown) {
          if (!(thrown as { isUnasked?: boolean }).isUnasked || dials >= MOST_DIALS) throw thrown
          await sleep(AGAIN_MS)
        }
      }
    },
    close: () => agent.destroy(),
  }
}

function once(
  agent: Agent,
  method: string,
  url: string,
  body: string | undefined,
  headers: Record<string, string> = {},
): Promise<Omit<HttpAnswer, 'dials'>> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method, headers }, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.once('error', reject)
      response.once('end', () => {
        const { statusCode = 0, headers: its } = response
        resolve({ status: statusCode, headers: its, body: Buffer.concat(pieces) })
      })
    })
    sent.once('error', (error: NodeJS.ErrnoException) => {
      const isUnasked =
        error.code === 'ECONNREFUSED' || (sent.reusedSocket && /ECONNRESET|EPIPE/.test(error.code ?? ''))
      reject(Object.assign(error, { isUnasked }))
    })
    sent.end(body)
  })
}
