import { execFile, spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CONTRACT_VERSION, MAX_IDENTITY_LENGTH } from '../../shared/sdk/contract/event.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { decodeEventData, decodeResponse } from '../../shared/sdk/contract/open-inference.ts'
import { isReplySubject, LANES } from '../../shared/sdk/contract/subjects.ts'
import { DATATYPES } from '../../shared/sdk/contract/tensor.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { DEFAULT_TOPOLOGY, STREAMS, streamSpecs } from '../../shared/sdk/contract/topology.ts'
import { ERRORS, REASONS } from '../../shared/sdk/errors.ts'
import { waitFor } from '../../shared/sdk/wait-for.ts'
import { startTestBroker, type TestBroker, testPrefix } from '../kit/broker.ts'
import { latestModels } from '../kit/models-folder.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'

const run = promisify(execFile)
const page = await readFile(new URL('../../docs/protocol.md', import.meta.url), 'utf8')
const readme = await readFile(new URL('../../shared/sdk/README.md', import.meta.url), 'utf8')

/** Code blocks of the page that open with these words. */
function blocks(words: string): string[] {
  return [...page.matchAll(/^```([^\n]+)\n(.*?)^```$/gms)]
    .filter(([, opening]) => opening === words)
    .map(([, , code = '']) => code)
}

/** Why a program cannot be used here, or `undefined`. */
function missing(program: string, versionFlag: string): string | undefined {
  return spawnSync(program, [versionFlag]).error === undefined ? undefined : `no ${program} on PATH`
}

const noPython = missing('python3', '--version')
const noNats = missing('nats', '--version')

describe('docs/protocol.md', () => {
  test('lists the reasons as errors.ts has them', () => {
    const section = page.slice(page.indexOf('## Reasons'), page.indexOf('## Dead letters'))
    const rows = section.split('\n').filter((line) => line.startsWith('| `'))
    const expected = Object.entries(REASONS).map(
      ([reason, { status, retryable, replay, summary }]) =>
        `| \`${reason}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${replay} | ${summary} |`,
    )
    expect(rows).toEqual(expected)
  })

  test('names every header, stream, subject, lane and datatype of the contract', () => {
    const subjects = streamSpecs(DEFAULT_TOPOLOGY, 1024 ** 2)
      .filter(({ name }) => (Object.values(STREAMS) as string[]).includes(name))
      .flatMap((spec) => spec.subjects.map((subject) => subject.split('.')[0] ?? ''))
    const words = [...Object.values(HEADERS), ...Object.values(STREAMS), ...LANES, ...DATATYPES, ...subjects]
    expect(words.filter((word) => !page.includes(word))).toEqual([])
    expect(page).toContain(`Version ${CONTRACT_VERSION}.`)
    expect(page).toContain(`at most ${MAX_IDENTITY_LENGTH} characters`)
  })

  test('names no Pelton header that the contract does not have', () => {
    const known = new Set<string>(Object.values(HEADERS))
    const named = new Set(page.match(/\b(?:Pelton|Nats|x|ce)-[A-Za-z]+(?:-[A-Za-z]+)*/g))
    const prose = new Set(['ce-partitionkey'])
    expect([...named].filter((name) => !known.has(name) && !prose.has(name))).toEqual([])
  })

  test('shows data and responses that are read as they stand', () => {
    const examples = blocks('json data')
    expect(examples).toHaveLength(3)
    const kinds = examples.map((example) => {
      const json = Buffer.from(example.trim())
      const isBinary = example.includes('binary_data_size')
      const body = isBinary ? Buffer.concat([json, Buffer.alloc(16)]) : json
      const type = isBinary ? 'application/octet-stream' : 'application/json'
      return decodeEventData(type, isBinary ? String(json.length) : undefined, body).kind
    })
    expect(kinds).toEqual(['features', 'tensors', 'tensors'])
    const [response = ''] = blocks('json response')
    expect(decodeResponse('application/json', undefined, Buffer.from(response)).outputs).toHaveLength(1)
  })

  test('computes tokens as the contract does', async ({ skip }) => {
    skip(noPython !== undefined, noPython)
    const [code = ''] = blocks('python token')
    const events: [model: string, source: string, id: string][] = [
      ['flight-delay', 'gate/7', 'NW329'],
      ['é', 'unknown', '😀 "1%"'],
    ]
    const calls = events.map((event) => `print(token(*${JSON.stringify(event)}))`).join('\n')
    const { stdout } = await run('python3', ['-c', `${code}\n${calls}`])
    expect(stdout.trim().split('\n')).toEqual(events.map((event) => eventToken(...event)))
  })
})

test("the SDK's README lists errors that exist", () => {
  const section = readme.slice(readme.indexOf('## Errors'), readme.indexOf('## Options'))
  const codes = [...section.matchAll(/^\| `([a-z-]+)`/gm)].map(([, code = '']) => code)
  expect(codes.length).toBeGreaterThan(8)
  expect(codes.filter((code) => !Object.hasOwn(ERRORS, code))).toEqual([])
})

// They speak the names of the page, which has no prefix.
describe.skipIf(testPrefix() !== undefined)('foreign clients', () => {
  let broker: TestBroker
  let connection: NatsConnection
  let worker: WorkerProcess

  beforeAll(async () => {
    broker = await startTestBroker()
    await broker.provision()
    connection = await connect({ servers: broker.url })
    worker = await startWorkerProcess({ url: broker.url, models: latestModels() })
  })

  beforeEach(({ onTestFailed }) => {
    onTestFailed(
      () => void process.stderr.write(`log of the worker: ${JSON.stringify(worker.log, null, 1)}\n`),
    )
  })

  afterAll(async () => {
    worker?.kill('SIGKILL')
    await worker?.ended
    await connection?.close()
    await broker?.stop()
  })

  test('Python gets a prediction with its standard library alone', async ({ skip, signal }) => {
    skip(noPython !== undefined, noPython)
    const [code = ''] = blocks('python socket')
    expect(
      code
        .trim()
        .split('\n')
        .filter((line) => line !== '').length,
    ).toBeLessThanOrEqual(25)
    const [, inbox = ''] = /Pelton-Reply-To: ([^\\]+)/.exec(code) ?? []
    expect(isReplySubject(inbox)).toBe(true)
    const env = { ...process.env, PELTON_NATS: `127.0.0.1:${broker.port}` }
    const { stdout } = await run('python3', ['-c', code], { env, signal })
    const [ack, answer, ...rest] = stdout.trim().split('\n')
    expect(rest).toEqual([])
    expect(ack).toMatch(/^ack \{"stream": "FEATURES", "seq": \d+\}$/)
    expect(answer).toMatch(/^answer \{"model_name": "flight-delay", "model_version": "2"/)
    const stored = await waitFor(connection, { model: 'flight-delay', source: 'unknown', id: 'NW330' })
    expect(stored.kind === 'prediction' && stored.value('probability')).toBeGreaterThan(0)
  })

  test('the nats command publishes', async ({ skip, signal }) => {
    skip(noNats !== undefined, noNats)
    const [code = ''] = blocks('sh nats')
    const { stdout, stderr } = await run('sh', ['-c', code], {
      env: { ...process.env, NATS_URL: broker.url },
      signal,
    })
    expect(`${stdout}${stderr}`).toContain('FEATURES')
    const stored = await waitFor(connection, { model: 'flight-delay', source: 'unknown', id: 'NW331' })
    expect(stored.kind).toBe('prediction')
  })

  test('a structured CloudEvent gets a prediction', async () => {
    const [body = ''] = blocks('json structured')
    const block = headers()
    block.set(HEADERS.contentType, 'application/cloudevents+json')
    await connection.request('features.default.flight-delay.normal', body, { headers: block, timeout: 5_000 })
    const stored = await waitFor(connection, { model: 'flight-delay', source: 'gate/7', id: 'NW332' })
    expect(stored).toMatchObject({ kind: 'prediction', id: 'NW332' })
  })

  test('a body without any header gets a prediction too, under its position', async () => {
    const results = connection.subscribe('results.flight-delay.*', { max: 1 })
    const [body = ''] = blocks('json structured')
    await connection.request('features.default.flight-delay.low', JSON.stringify(JSON.parse(body).data))
    for await (const message of results) expect(message.headers?.get(HEADERS.outcome)).toBe('prediction')
  })
})
