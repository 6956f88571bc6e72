/** Bytes that are no honest request, and what is said to them. */
export interface RawCase {
  /** What was tried, for people. */
  readonly tried: string
  /** What was answered, for people. */
  readonly answered: string
  readonly bytes: string | Buffer
  /** Statuses of all that came back; none where the connection was closed without a word. */
  readonly statuses: readonly number[]
}

const HOST = 'Host: localhost\r\n'
const SMUGGLED = `GET /v2/smuggled HTTP/1.1\r\n${HOST}\r\n`
const POST = `POST /v2/echo HTTP/1.1\r\n${HOST}`
const GET = `GET /v2 HTTP/1.1\r\n`

function smuggling(what: string, bytes: string, status = 400): RawCase {
  return { tried: `smuggling: ${what}`, answered: `${status}, closed`, bytes, statuses: [status] }
}

/** Two readers of such a request may disagree about where it ends. */
export const SMUGGLING: readonly RawCase[] = [
  smuggling(
    '`Content-Length` beside `Transfer-Encoding`',
    `${POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ),
  smuggling(
    '`Transfer-Encoding` before `Content-Length`',
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ),
  smuggling(
    'two lengths that differ',
    `${POST}Content-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
  ),
  smuggling('the same length twice', `${POST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n${SMUGGLED}`),
  smuggling('a list of lengths', `${POST}Content-Length: 0, 0\r\n\r\n${SMUGGLED}`),
  smuggling('a length with a sign', `${POST}Content-Length: +0\r\n\r\n${SMUGGLED}`),
  smuggling('a negative length', `${POST}Content-Length: -1\r\n\r\n${SMUGGLED}`),
  smuggling('a length in hexadecimal', `${POST}Content-Length: 0x0\r\n\r\n${SMUGGLED}`),
  smuggling(
    'a length that overflows',
    `${POST}Content-Length: 99999999999999999999999999\r\n\r\n${SMUGGLED}`,
  ),
  smuggling('an empty length', `${POST}Content-Length: \r\n\r\n${SMUGGLED}`),
  smuggling(
    'a space before the colon',
    `${POST}Content-Length : 0\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ),
  smuggling(
    'a folded header',
    `${POST}Transfer-Encoding:\r\n chunked\r\nX: a\r\n b\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ),
  smuggling(
    'a transfer encoding nobody knows',
    `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    501,
  ),
  smuggling(
    'a transfer encoding after `chunked`',
    `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ),
  smuggling(
    '`chunked` twice',
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  ),
  smuggling(
    'a transfer encoding before `chunked`',
    `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`,
    501,
  ),
  smuggling(
    'line ends without CR in the head',
    `POST /v2/echo HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n${SMUGGLED}`,
  ),
  smuggling(
    'line ends without LF in the head',
    `POST /v2/echo HTTP/1.1\rHost: localhost\r\rContent-Length: 0\r\r${SMUGGLED}`,
  ),
  smuggling('line ends without CR in chunks', `${POST}Transfer-Encoding: chunked\r\n\r\n0\n\n${SMUGGLED}`),
  smuggling(
    'a chunk longer than it says',
    `${POST}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n${SMUGGLED}`,
  ),
  smuggling('a chunk size with a sign', `${POST}Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n${SMUGGLED}`),
  smuggling(
    'a chunk size that overflows',
    `${POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff1\r\n${SMUGGLED}`,
  ),
  smuggling(
    'a chunk extension with a bare LF',
    `${POST}Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n${SMUGGLED}`,
  ),
  smuggling('NUL in a header', `${POST}X-A: a\0b\r\n\r\n${SMUGGLED}`),
  smuggling('CR in a header', `${POST}X-A: a\rContent-Length: 0\r\n\r\n${SMUGGLED}`),
  smuggling('a header without a name', `${POST}: a\r\n\r\n${SMUGGLED}`),
  smuggling('two hosts', `POST /v2/echo HTTP/1.1\r\n${HOST}Host: 127.0.0.1\r\n\r\n${SMUGGLED}`),
  smuggling('no host', `${GET}\r\n${SMUGGLED}`),
  smuggling('a host with a path', `${GET}Host: localhost/evil\r\n\r\n${SMUGGLED}`),
  smuggling('a host that is not ours', `${GET}Host: evil.example\r\n\r\n${SMUGGLED}`, 421),
]

function path(what: string, target: string, statuses: readonly number[], answered = `${statuses}`): RawCase {
  const bytes = `GET ${target} HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`
  return { tried: `path: ${what}`, answered, bytes, statuses }
}

export const PATHS: readonly RawCase[] = [
  path('`/v2/models/../../etc/passwd`', '/v2/models/../../etc/passwd', [400]),
  path('dots that are encoded', '/v2/models/%2e%2e/%2E%2e/etc/passwd', [400]),
  path('dots encoded twice', '/v2/models/%252e%252e/etc', [400]),
  path('backslashes', '/v2/models/..\\..\\etc', [400]),
  path('dots between encoded slashes', '/v2/models/..%2f..%2fetc', [400]),
  path('a slash in a name', '/v2/models/a%2fetc', [200], 'the name, as it is: names are never paths'),
  path('NUL', '/v2/models/a%00.json', [400]),
  path('a line end', '/v2/models/a%0d%0aX-Evil:%201', [400]),
  path('a raw NUL', '/v2/models/a\0b', [400]),
  path('bytes that are no UTF-8', '/v2/models/%c0%ae%c0%ae', [400]),
  path('half a character', '/v2/%', [400]),
  path('9 KiB', `/v2/models/${'a'.repeat(9_000)}`, [414]),
  path('1 MiB', `/v2/models/${'a'.repeat(1_048_576)}`, [431]),
  path('a name of 3 KiB', `/v2/models/${'a'.repeat(3_000)}`, [414]),
  path('another server (`http://evil.example/`)', 'http://evil.example/v2', [400]),
  path('this server, absolute', 'http://localhost/v2', [400]),
  path('no slash ahead', 'v2', [400]),
  path('`__proto__`', '/v2/__proto__/constructor', [404]),
]

function request(
  tried: string,
  bytes: string | Buffer,
  statuses: readonly number[],
  answered?: string,
): RawCase {
  const said = answered ?? `${statuses.length === 0 ? 'nothing' : statuses}, closed`
  return { tried, answered: said, bytes, statuses }
}

export const REQUESTS: readonly RawCase[] = [
  request('`CONNECT`', `CONNECT evil.example:443 HTTP/1.1\r\n${HOST}\r\n`, [405]),
  request('`TRACE`', `TRACE /v2 HTTP/1.1\r\n${HOST}Cookie: a\r\n\r\n`, [405]),
  request('`OPTIONS *`', `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, [400]),
  request('a method nobody knows', `STEAL /v2 HTTP/1.1\r\n${HOST}\r\n`, [400]),
  request('HTTP/0.9', 'GET /v2\r\n\r\n', [505]),
  request('HTTP/1.0', `GET /v2 HTTP/1.0\r\n${HOST}\r\n`, [200], '200, closed'),
  request('HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400]),
  request('HTTP/3.7', `GET /v2 HTTP/3.7\r\n${HOST}\r\n`, [400]),
  request(
    'an upgrade to WebSocket',
    `${GET}${HOST}Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    [200],
    'the answer in HTTP/1.1, as RFC 9110 has it',
  ),
  request('an expectation that is not met', `${POST}Expect: a-cake\r\nContent-Length: 2\r\n\r\n`, [417]),
  request('a TLS handshake', Buffer.from('160301020001000100fc0303', 'hex'), [400]),
  request(
    'random bytes',
    Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 7919) % 251)),
    [400],
  ),
  request('nothing but line ends', '\r\n'.repeat(1_000), [408]),
  request('one header of 1 MiB', `${GET}${HOST}X: ${'a'.repeat(1_048_576)}\r\n\r\n`, [431]),
  request('1,000 headers', `${GET}${HOST}${'a: b\r\n'.repeat(1_000)}\r\n`, [431]),
  request('a million headers', `${GET}${HOST}${'a: b\r\n'.repeat(1_000_000)}\r\n`, [431]),
  request(
    'a body of 1 TiB, announced',
    `${POST}Content-Length: 1099511627776\r\n\r\n${'x'.repeat(100_000)}`,
    [413],
  ),
  request(
    'a body of 64 MiB in chunks',
    `${POST}Transfer-Encoding: chunked\r\n\r\n${`10000\r\n${'x'.repeat(65_536)}\r\n`.repeat(1_024)}0\r\n\r\n`,
    [413],
  ),
  request(
    'a million chunks of one byte',
    `${POST}Transfer-Encoding: chunked\r\n\r\n${'1\r\na\r\n'.repeat(1_000_000)}0\r\n\r\n`,
    [413],
  ),
  request(
    'chunk extensions of 1 MiB',
    `${POST}Transfer-Encoding: chunked\r\n\r\n1;${'a'.repeat(1_048_576)}\r\na\r\n0\r\n\r\n`,
    [413],
  ),
  request(
    'trailers of 1 MiB',
    `${POST}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${`x: ${'a'.repeat(1_000)}\r\n`.repeat(1_000)}\r\n`,
    [431],
  ),
  request(
    'a body for a path that is not there',
    `POST /nowhere HTTP/1.1\r\n${HOST}Content-Length: 1000000\r\n\r\n${'x'.repeat(500_000)}${SMUGGLED}`,
    [404],
  ),
  request(
    'a body of an encoding that is not offered',
    `${POST}Content-Encoding: br\r\nContent-Length: 9\r\n\r\n${SMUGGLED}`,
    [415],
  ),
  request(
    'a body that is encoded twice',
    `${POST}Content-Encoding: gzip, gzip\r\nContent-Length: 9\r\n\r\n${SMUGGLED}`,
    [415],
  ),
  request(
    'a body that is no gzip',
    `${POST}Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: 9\r\n\r\nno gzip !`,
    [400],
  ),
]
