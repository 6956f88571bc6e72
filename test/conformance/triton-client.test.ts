import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, inflateSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Exchange, type GivenAnswer, type SentRequest, send } from './exchanges.ts'
import { openTritonStage, type TritonStage } from './triton-stage.ts'

const { exchanges } = JSON.parse(
  await readFile(join(import.meta.dirname, 'triton-client.fixture.json'), 'utf8'),
) as { readonly exchanges: readonly Exchange[] }

describe('Triton`s Python client, as it was recorded', () => {
  let stage: TritonStage
  beforeAll(async () => {
    stage = await openTritonStage()
  })
  afterAll(() => stage?.close())

  test('asked for everything that there is', () => {
    const asked = exchanges.map(({ request }) => `${request.method} ${request.path}`)
    expect(new Set(asked).size).toBeGreaterThan(25)
    const infers = exchanges.filter(({ request }) => request.path.endsWith('/infer'))
    expect(new Set(infers.map(({ request }) => encodingOf(request)))).toEqual(
      new Set(['', 'gzip', 'deflate']),
    )
    expect(exchanges.some(({ request }) => headerOf(request, 'content-type') !== undefined)).toBe(false)
  })

  test.each(exchanges.map((exchange, index) => [index, titleOf(exchange.request), exchange] as const))(
    'gets the same answer again: %i %s',
    async (_index, _title, { request, answer }) => {
      const again = await send(stage.url, request)
      expect(shown(again)).toEqual(shown(answer))
      const { 'content-encoding': encoding } = again.headers
      if (encoding !== undefined) expect(headerOf(request, 'accept-encoding')).toBe(encoding)
    },
  )
})

function titleOf(request: SentRequest): string {
  const length = headerOf(request, 'inference-header-content-length')
  return `${request.method} ${request.path}${length === undefined ? '' : ' binary'} ${encodingOf(request)}`
}

function headerOf({ headers }: SentRequest, name: string): string | undefined {
  const at = headers.findIndex((each, index) => index % 2 === 0 && each.toLowerCase() === name)
  return at < 0 ? undefined : headers[at + 1]
}

function encodingOf(request: SentRequest): string {
  return headerOf(request, 'content-encoding') ?? ''
}

/** What is in an answer, without what is of its time: our version, our words, and whether it was worth compressing. */
function shown({ status, headers, body }: GivenAnswer): unknown {
  const { 'content-encoding': encoding, ...others } = headers
  const text = decoded(Buffer.from(body, 'base64'), encoding).toString('latin1')
  const isProblem = status >= 400 && headers['content-type'] === 'application/json'
  return { status, headers: others, body: isProblem ? hasWords(text) : text.replace(VERSION, '') }
}

const VERSION = /(?<=^{"name":"pelton","version":")[^"]*/

function decoded(bytes: Buffer, encoding: string | undefined): Buffer {
  if (encoding === undefined) return bytes
  return encoding === 'gzip' ? gunzipSync(bytes) : inflateSync(bytes)
}

/** Whether there are words for the client to show. */
function hasWords(problem: string): boolean {
  const { error } = JSON.parse(problem) as { readonly error: unknown }
  return typeof error === 'string' && error.length > 5
}
