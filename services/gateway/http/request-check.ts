import type { IncomingMessage } from 'node:http'
import { showValue } from '../../../shared/sdk/errors.ts'
import { Refusal } from '../core/refusal.ts'
import type { ListenerLimits } from './limits.ts'

/** What requests are held against before a route is looked for. */
export interface RequestRules {
  readonly limits: ListenerLimits
  /** Whether a Host header names us. */
  readonly isOurs: (host: string | undefined) => boolean
  /** Pages of these origins may send requests. */
  readonly origins: ReadonlySet<string>
}

/** Probes call by address, and learn nothing. */
const PROBES = new Set(['/livez', '/readyz'])

/**
 * Why a request reaches no route, by its head alone. The parser of Node refused before what could be read in two ways.
 * None of these refusals leaves the connection open.
 */
export function refusalOf(request: IncomingMessage, rules: RequestRules): Refusal | undefined {
  return headRefusal(request, rules.limits) ?? hostRefusal(request, rules) ?? originRefusal(request, rules)
}

function headRefusal(request: IncomingMessage, limits: ListenerLimits): Refusal | undefined {
  const { method, headers, url = '', httpVersionMajor } = request
  if (httpVersionMajor !== 1)
    return new Refusal(505, 'version not offered', 'requests are of HTTP/1.1, or of HTTP/1.0')
  if (request.rawHeaders.length > 2 * limits.headerCount)
    return new Refusal(431, 'too many headers', `a request has ${limits.headerCount} headers at most`)
  if (url.length > limits.targetBytes)
    return new Refusal(
      414,
      'path too long',
      `a path and its query have ${limits.targetBytes} bytes at most`,
      {
        code: 'path-too-long',
        field: 'path',
        value: `${url.length} bytes`,
        remedy: 'Send a shorter one.',
      },
    )
  if (method === 'TRACE' || method === 'CONNECT') return noProxy(`${method} is not offered`, 405)
  if (!url.startsWith('/')) return noProxy('the target of a request is a path here')
  if (isCrooked(url)) return crooked(url)
  const encoding = headers['transfer-encoding']
  if (encoding === undefined || encoding.toLowerCase() === 'chunked') return undefined
  return new Refusal(501, 'transfer encoding not offered', 'a body is sent whole or in chunks', {
    field: 'Transfer-Encoding',
    value: showValue(encoding),
  })
}

function noProxy(detail: string, status = 400): Refusal {
  return new Refusal(status, status === 405 ? 'method not allowed' : 'this is no proxy', detail, {
    ...(status === 405 && { headers: { allow: 'GET, HEAD, POST' } }),
  })
}

/** Ways up a tree that is not there, and characters that no name has: what somebody else may read in another way. */
const CROOKED = /(?:^|\/|%2f)(?:\.|%2e){1,2}(?:\/|%2f|$)|\\|%5c|%[01][0-9a-f]|%7f|%25(?:2e|2f|5c|00)/i

function isCrooked(url: string): boolean {
  // Most paths have none of these, and are looked at once.
  if (!/[%\\]|\/\./.test(url)) return false
  return CROOKED.test(url.split('?', 1)[0] ?? '')
}

function crooked(url: string): Refusal {
  return new Refusal(
    400,
    'path not usable',
    'the path has segments of dots, or characters that no name has',
    {
      field: 'path',
      value: showValue(url),
    },
  )
}

/** A name or an address, and a port. Two of them are joined by a comma. */
const HOST = /^(?:[\w.~-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i

function hostRefusal({ httpVersion, headers, url = '' }: IncomingMessage, rules: RequestRules) {
  const { host } = headers
  if (host === undefined ? httpVersion === '1.1' : !HOST.test(host))
    return new Refusal(400, 'no host', 'a request names one host', {
      field: 'Host',
      ...(host !== undefined && { value: showValue(host) }),
    })
  if (rules.isOurs(host) || PROBES.has(url.split('?', 1)[0] ?? '')) return undefined
  return new Refusal(421, 'misdirected request', 'this gateway is not called so', {
    code: 'misdirected',
    field: 'Host',
    value: showValue(host ?? ''),
    remedy: 'Use its address, or name the host in PELTON_GATEWAY_ALLOWED_HOSTS.',
  })
}

/**
 * A page of another origin may send a request without asking first, and without seeing the answer: it would be an event
 * all the same. Clients that are no browsers send no `Origin`.
 */
function originRefusal({ method, headers }: IncomingMessage, { origins }: RequestRules): Refusal | undefined {
  const { origin, host = '' } = headers
  if (origin === undefined || method === 'GET' || method === 'HEAD' || method === 'OPTIONS') return undefined
  if (origins.has(origin) || origin.replace(/^https?:\/\//i, '').toLowerCase() === host.toLowerCase())
    return undefined
  return new Refusal(403, 'origin not allowed', 'pages of this origin send no requests here', {
    code: 'forbidden',
    field: 'Origin',
    value: showValue(origin),
    remedy: 'Name the origin in PELTON_GATEWAY_CORS_ORIGINS.',
  })
}
