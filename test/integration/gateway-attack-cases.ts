import { gzipSync } from 'node:zlib'

/** One request that nobody honest sends, and what is said to it. */
export interface Attack {
  /** What was tried, for people. */
  readonly tried: string
  /** What was answered, for people: it begins with the status. */
  readonly answered: number | `${number}${string}`
  /** @default POST */
  readonly method?: string
  /** @default that of the model of these tests, to infer */
  readonly path?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string | Buffer
}

/** Gives back what it is given: FP32, two numbers a row. */
export const MODEL = 'identity-fp32'
export const INFER = `/v2/models/${MODEL}/infer`
const EVENTS = `/v1/models/${MODEL}/events`

/** An input of so many rows. */
export function rowsOf(rows: number, value = 0) {
  return {
    name: 'x',
    shape: [rows, 2],
    datatype: 'FP32',
    data: Array.from({ length: 2 * rows }, () => value),
  }
}

const GOOD = JSON.stringify({ inputs: [rowsOf(1)] })
const EVENT = { 'ce-specversion': '1.0', 'ce-source': 'attack', 'ce-type': 'attack' }
const tensor = (more: object) => JSON.stringify({ inputs: [{ ...rowsOf(1), ...more }] })
const members = (text: string): string => `${GOOD.slice(0, -1)},${text}}`

let count = 0
/** An event in binary mode, of an id of its own. */
const event = (headers: Readonly<Record<string, string>>) => ({
  path: EVENTS,
  headers: { ...EVENT, 'ce-id': `event-${count++}`, ...headers },
  body: GOOD,
})

const bodies: readonly Attack[] = [
  { tried: 'objects in objects, 100,000 deep', answered: 400, body: '{"a":'.repeat(100_000) },
  {
    tried: 'arrays in `data`, 65 deep',
    answered: 400,
    body: `{"inputs":${'['.repeat(65)}${']'.repeat(65)}}`,
  },
  {
    tried: 'a shape that overflows: `[2**53, 2**53]`',
    answered: 422,
    body: tensor({ shape: [2 ** 53, 2 ** 53] }),
  },
  {
    tried: 'a shape whose product is 0 by overflow: `[2**32, 2**32]`',
    answered: 422,
    body: tensor({ shape: [2 ** 32, 2 ** 32] }),
  },
  {
    tried: 'a shape of 10,000 dimensions',
    answered: 422,
    body: tensor({ shape: Array.from({ length: 10_000 }, () => 1) }),
  },
  { tried: 'negative, fractional and huge dimensions', answered: 422, body: tensor({ shape: [-1, 1e300] }) },
  {
    tried: 'half a million numbers for a shape of two',
    answered: 422,
    body: tensor({ data: Array.from({ length: 500_000 }, () => 0) }),
  },
  {
    tried: '20,000 tensors of nothing',
    answered: 413,
    body: JSON.stringify({
      inputs: Array.from({ length: 20_000 }, (_, index) => ({
        name: `t${index}`,
        shape: [0],
        datatype: 'FP32',
        data: [],
      })),
    }),
  },
  { tried: '340,000 empty arrays', answered: 413, body: `{"inputs":[${'[],'.repeat(340_000)}[]]}` },
  {
    tried: 'raw tensors of a negative, fractional or huge size',
    answered: 400,
    headers: { 'inference-header-content-length': '78' },
    body: '{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":-8}}]}',
  },
  {
    tried: '`binary_data_size` beyond the body',
    answered: 400,
    headers: { 'inference-header-content-length': '101' },
    body: '{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":9e15}}]}     1234',
  },
  {
    tried: 'an `Inference-Header-Content-Length` that is negative',
    answered: 400,
    headers: { 'inference-header-content-length': '-1' },
    body: GOOD,
  },
  {
    tried: 'an `Inference-Header-Content-Length` twice',
    answered: 400,
    headers: { 'inference-header-content-length': ['1', '2'] },
    body: GOOD,
  },
  {
    tried: 'an id of 64 KiB',
    answered: '200, with all of it',
    body: members(`"id":"${'i'.repeat(65_536)}"`),
  },
  {
    tried: 'an id with line ends and NUL',
    answered: 400,
    body: members('"id":"a\\r\\nNats-Rollup: all\\r\\n\\u0000evil"'),
  },
  { tried: 'an id of half a character', answered: 400, body: members('"id":"\\ud800"') },
  { tried: '`id` twice', answered: 400, body: members('"id":"a","id":"b"') },
  {
    tried: '`parameters` twice: one for the gateway, one for the worker',
    answered: 400,
    body: members('"parameters":{"priority":1},"parameters":{"priority":3}'),
  },
  {
    tried: '`parameters` twice, the name once with escapes',
    answered: 400,
    body: members('"parameters":{"priority":1},"\\u0070arameters":{"priority":3}'),
  },
  { tried: '`priority` twice', answered: 400, body: members('"parameters":{"priority":1,"priority":3}') },
  {
    tried: '`__proto__` with a timeout, in and beside `parameters`',
    answered: 400,
    body: members('"__proto__":{"parameters":{"timeout":1}},"parameters":{"__proto__":{"timeout":1}}'),
  },
  {
    tried: '`constructor` and `toString` as parameters',
    answered: 400,
    body: members('"parameters":{"constructor":{"prototype":{"timeout":1}},"toString":1,"hasOwnProperty":1}'),
  },
  {
    tried: 'parameters of 100 KiB',
    answered: 413,
    body: members(`"parameters":{"a":"${'p'.repeat(100_000)}"}`),
  },
  {
    tried: 'a timeout of 1e308, of text, of -0.5',
    answered: 400,
    body: members('"parameters":{"timeout":1e308}'),
  },
  { tried: 'a priority of 1e400', answered: 400, body: members('"parameters":{"priority":1e400}') },
  { tried: 'NaN', answered: 400, body: GOOD.replace('[0,0]', '[NaN,0]') },
  { tried: 'a number that overflows', answered: 400, body: GOOD.replace('[0,0]', '[1e999,0]') },
  {
    tried: 'a number of 500,000 digits',
    answered: 400,
    body: GOOD.replace('[0,0]', `[${'9'.repeat(500_000)},0]`),
  },
  { tried: 'JSON in UTF-16', answered: 400, body: Buffer.from(`\ufeff${GOOD}`, 'utf16le') },
  { tried: 'JSON with a byte order mark', answered: 400, body: `\ufeff${GOOD}` },
  {
    tried: 'overlong UTF-8',
    answered: 400,
    body: Buffer.concat([
      Buffer.from('{"id":"'),
      Buffer.from([0xc0, 0xae]),
      Buffer.from(`",${GOOD.slice(1)}`),
    ]),
  },
  { tried: 'a second object behind the first', answered: 400, body: `${GOOD}${GOOD}` },
  {
    tried: 'a gzip in a gzip',
    answered: 415,
    headers: { 'content-encoding': 'gzip, gzip' },
    body: gzipSync(gzipSync(GOOD)),
  },
  {
    tried: '`Content-Encoding` twice',
    answered: 415,
    headers: { 'content-encoding': ['gzip', 'gzip'] },
    body: gzipSync(GOOD),
  },
  {
    tried: 'half a gzip',
    answered: 400,
    headers: { 'content-encoding': 'gzip' },
    body: gzipSync(GOOD).subarray(0, -6),
  },
  {
    tried: 'shared memory of the server',
    answered: 400,
    body: tensor({ data: undefined, parameters: { shared_memory_region: '/dev/mem' } }),
  },
  { tried: 'no body', answered: 400, body: '' },
]

const named = (name: string, what: string, answered: Attack['answered'] = 404, act = '/infer'): Attack => ({
  ...{ tried: `${what}: \`${name.length > 60 ? `${name.slice(0, 20)}…` : name}\``, answered },
  ...{ path: `/v2/models/${name}${act}`, body: GOOD },
})

const names: readonly Attack[] = [
  named('..%2f..%2fetc%2fpasswd', 'a path up', 400),
  named(`${MODEL}%2f..%2f..`, 'a path up behind a name', 400),
  named('%252e%252e%252f', 'a path up, encoded twice', 400),
  named(`${MODEL}/versions/..%2f1`, 'a path up for a version', 400),
  named(`${MODEL}/versions/__proto__`, 'a version of prototypes'),
  named(`${MODEL}/versions/01`, 'a version that is a number by another name'),
  named(`${MODEL}/versions/1e0`, 'a version that is a number by a third'),
  named(`${MODEL}/versions/%D9%A1`, 'a version in Arabic digits'),
  named(`${MODEL}/versions/${'9'.repeat(400)}`, 'a version of 400 digits'),
  named('__proto__', 'a model of prototypes'),
  named('constructor', 'a model of prototypes', 404, ''),
  named('toString', 'a model of prototypes', 404, '/ready'),
  named('hasOwnProperty', 'a model of prototypes', 404, '/stats'),
  named('*', 'a subject for every model'),
  named('%3E', 'a subject for all there is'),
  named(`${MODEL}.high`, 'a subject of another lane'),
  named(`other.${MODEL}.normal`, 'a subject of another pool'),
  named(`..%2fother%2f${MODEL}`, 'a path to another pool', 400),
  named('$JS.API.STREAM.DELETE.FEATURES', 'a subject of the broker'),
  named('a%20b', 'a name with a space'),
  named('evil%0d%0aNats-Rollup:%20all', 'a name with line ends', 400),
  named('evil%E2%80%A8line', 'a name with the line end of Unicode'),
  named('evil%1b[31m', 'a name with an escape', 400),
  named('%ED%A0%80', 'a name with half a character', 400),
  named('%C0%AE%C0%AE', 'overlong dots', 400),
  named('m'.repeat(2_000), 'a name of 2,000 characters'),
  named('%F0%9F%92%A5'.repeat(500), 'a name of 500 explosions'),
  named('a%2f'.repeat(600), 'a name of 600 slashes'),
].map((attack) =>
  /\/(?:ready|stats)$|constructor$/.test(attack.path ?? '') ? { ...attack, method: 'GET' } : attack,
)

const headerCases: readonly Attack[] = [
  {
    tried:
      'headers that NATS or a worker acts on: `Nats-Rollup`, `Nats-Msg-Id`, `Nats-TTL`, `Pelton-Reply-To`, `Pelton-Replay`',
    answered: '200: none of them travels',
    headers: {
      'nats-rollup': 'all',
      'nats-msg-id': 'evil',
      'nats-ttl': '1s',
      'nats-expected-stream': 'evil',
      'pelton-reply-to': 'evil',
      'pelton-replay': 'evil',
      'pelton-model-version': '9',
    },
    body: GOOD,
  },
  {
    tried: 'a trace context that is none',
    answered: '200, without it',
    headers: { traceparent: '00-evil', tracestate: 'evil' },
    body: GOOD,
  },
  {
    tried: 'a trace state of 12 KiB',
    answered: '200, with 512 characters of it at most',
    headers: {
      traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
      tracestate: Array.from({ length: 31 }, (_, index) => `k${index}=${'v'.repeat(200)}`).join(','),
    },
    body: GOOD,
  },
  {
    tried: '`Prefer` of 12 KiB',
    answered: '200, as if it were not there',
    headers: { prefer: `${'a;b="c",'.repeat(1_500)}respond-async` },
    body: GOOD,
  },
  {
    tried: 'an idempotency key that is a subject: `*`',
    answered: 200,
    headers: { 'idempotency-key': '*' },
    body: GOOD,
  },
  {
    tried: 'an idempotency key that is a subject: `>`, with another body',
    answered: 200,
    headers: { 'idempotency-key': '>' },
    body: members('"id":"other"'),
  },
  {
    tried: 'an idempotency key that is a path',
    answered: 200,
    headers: { 'idempotency-key': '../../*.>' },
    body: members('"id":"third"'),
  },
  { tried: 'two idempotency keys', answered: 400, headers: { 'idempotency-key': ['a', 'b'] }, body: GOOD },
  {
    tried: 'an idempotency key of 12 KiB',
    answered: 400,
    headers: { 'idempotency-key': 'k'.repeat(12_000) },
    body: GOOD,
  },
]

const events: readonly Attack[] = [
  {
    tried: 'event: line ends in `ce-id`, percent-encoded',
    answered: 400,
    ...event({ 'ce-id': 'a%0d%0aNats-Rollup: all' }),
  },
  {
    tried: 'event: line ends in `ce-source`, percent-encoded',
    answered: 400,
    ...event({ 'ce-source': 'a%0aevil' }),
  },
  { tried: 'event: NUL in `ce-type`', answered: 400, ...event({ 'ce-type': 'a%00' }) },
  {
    tried: 'event: line ends in an extension',
    answered: '202: encoded they travel, as they came',
    ...event({ 'ce-note': 'a%0d%0aNats-Rollup: all' }),
  },
  {
    tried: 'event: bytes that are no UTF-8 in an extension',
    answered: 400,
    ...event({ 'ce-note': '%ff%fe' }),
  },
  { tried: 'event: an attribute in Latin-1', answered: 400, ...event({ 'ce-note': '\u00e9' }) },
  {
    tried: 'event: an attribute twice',
    answered: 400,
    ...event({}),
    headers: { ...EVENT, 'ce-id': ['a', 'b'] },
  },
  {
    tried: 'event: an extension of the name of a header: `ce-nats-rollup`',
    answered: 400,
    ...event({ 'ce-nats-rollup': 'all' }),
  },
  {
    tried: 'event: 60 extensions of 64 bytes each, 4 KiB and more',
    answered: 400,
    ...event(Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`ce-x${index}`, 'v'.repeat(64)]))),
  },
  {
    tried: 'event: who caused it, forged',
    answered: '202: extensions like others',
    ...event({ 'ce-correlationid': 'evil', 'ce-causationid': 'evil' }),
  },
  {
    tried: 'event: a deadline in the year 9999',
    answered: 202,
    ...event({ 'ce-expirytime': '9999-12-31T23:59:59Z' }),
  },
  {
    tried: 'event: a deadline long ago',
    answered: '202: a dead letter',
    ...event({ 'ce-expirytime': '0001-01-01T00:00:00Z' }),
  },
  { tried: 'event: an id of 2,000 characters', answered: 400, ...event({ 'ce-id': 'i'.repeat(2_000) }) },
  { tried: 'event: `__proto__` in the query', answered: 400, ...event({}), path: `${EVENTS}?__proto__=low` },
  { tried: 'event: a lane that is a subject', answered: 400, ...event({}), path: `${EVENTS}?lane=*` },
  { tried: 'event: a model of NATS wildcards', answered: 404, ...event({}), path: '/v1/models/%3E/events' },
  { tried: 'event: a path up', answered: 400, ...event({}), path: '/v1/models/..%2f..%2fother/events' },
  {
    tried: 'event: `__proto__` in an envelope',
    answered: 400,
    path: EVENTS,
    headers: { 'content-type': 'application/cloudevents+json' },
    body: `{"specversion":"1.0","id":"e1","source":"s","type":"t","__proto__":{"a":1},"data":${GOOD}}`,
  },
  {
    tried: 'event: `id` twice in an envelope',
    answered: 400,
    path: EVENTS,
    headers: { 'content-type': 'application/cloudevents+json' },
    body: `{"specversion":"1.0","id":"e1","id":"e2","source":"s","type":"t","data":${GOOD}}`,
  },
  {
    tried: 'event: line ends in an attribute of an envelope',
    answered: 400,
    path: EVENTS,
    headers: { 'content-type': 'application/cloudevents+json' },
    body: `{"specversion":"1.0","id":"e1\\r\\nevil: 1","source":"s","type":"t","data":${GOOD}}`,
  },
  {
    tried: 'event: an envelope 100,000 deep',
    answered: 400,
    path: EVENTS,
    headers: { 'content-type': 'application/cloudevents+json' },
    body: `{"data":${'['.repeat(100_000)}`,
  },
]

const handle = (what: string, text: string, answered: Attack['answered'] = 404): Attack => ({
  tried: `result: ${what}`,
  answered,
  method: 'GET',
  path: `/v1/results/${text}`,
})

const results: readonly Attack[] = [
  handle('a handle of nothing', '.a'),
  handle(
    'a handle without a signature',
    Buffer.from('["default","x","low","","t",1,"http"]').toString('base64url'),
  ),
  handle(
    'a handle signed by nobody',
    `${Buffer.from('["default","x","low","","t",1,"http"]').toString('base64url')}.${'A'.repeat(24)}`,
  ),
  handle('a handle of 1,900 characters', 'a'.repeat(1_900)),
  handle('a handle of 4,000 characters', 'a'.repeat(4_000), 414),
  handle('`__proto__`', '__proto__'),
  handle('a subject', 'results.%3E'),
]

export const ATTACKS: readonly Attack[] = [...bodies, ...names, ...headerCases, ...events, ...results]
