import { once } from 'node:events'
import {
  type Agent,
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type Server,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** A request as a client sent it. */
export interface SentRequest {
  readonly method: string
  readonly path: string
  /** Names and values in turn, as they came. */
  readonly headers: readonly string[]
  /** Base64. */
  readonly body: string
}

/** What came back. */
export interface GivenAnswer {
  readonly status: number
  /** Those that its reader goes by. */
  readonly headers: Readonly<Record<string, string>>
  /** Base64. */
  readonly body: string
}

export interface Exchange {
  readonly request: SentRequest
  readonly answer: GivenAnswer
}

const READ_BY_CLIENTS = ['content-type', 'content-encoding', 'inference-header-content-length', 'allow']

/**
 * Sends a request exactly as it is, to a server at `url`.
 *
 * @param agent keeps its connections. @default a connection for this request
 */
export async function send(
  url: string,
  { method, path, headers, body }: SentRequest,
  agent: Agent | false = false,
): Promise<GivenAnswer> {
  const { hostname, port } = new URL(url)
  const asked: ClientRequest = request({ hostname, port, method, path, headers: [...headers], agent })
  asked.end(Buffer.from(body, 'base64'))
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const bytes = await buffer(response)
  const kept = READ_BY_CLIENTS.flatMap((name) => {
    const value = response.headers[name]
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return {
    status: response.statusCode ?? 0,
    headers: Object.fromEntries(kept),
    body: bytes.toString('base64'),
  }
}

/** A server that hands everything on to `url`, and keeps what went by. */
export async function startRecorder(
  url: string,
): Promise<{ readonly address: string; readonly exchanges: readonly Exchange[]; readonly server: Server }> {
  const exchanges: Exchange[] = []
  const server = createServer(async (incoming, outgoing) => {
    const { method = '', url: path = '', rawHeaders: headers } = incoming
    const body = (await buffer(incoming)).toString('base64')
    const sent = { method, path, headers, body }
    const answer = await send(url, sent)
    exchanges.push({ request: sent, answer })
    outgoing.writeHead(answer.status, answer.headers).end(Buffer.from(answer.body, 'base64'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, exchanges, server }
}
