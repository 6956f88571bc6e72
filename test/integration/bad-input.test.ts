import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import type { WorkerProcess } from '../kit/worker-process.ts'

const MODELS = [
  'identity-fp32',
  'identity-int64',
  'identity-int8',
  'identity-bytes',
  'several',
  'fixed-rows',
  'rank-0',
  'rank-1',
  'endless-loop',
  'external-above',
  'giant-initialiser',
  'linear',
]
let pipeline: Pipeline
let folder: Awaited<ReturnType<typeof modelsFolder>>
let worker: WorkerProcess

beforeAll(async () => {
  folder = await modelsFolder(MODELS)
  pipeline = await openPipeline({ broker: { config: 'max_payload: 4MB' }, models: folder.path })
  worker = await pipeline.startWorker()
})

afterAll(async () => {
  await pipeline?.close()
  await folder?.remove()
})

interface Bad {
  readonly name: string
  readonly model?: string
  readonly body: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  readonly reason: string
  /** What the description must name: the field or the value, and the way out. */
  readonly says: RegExp
}

const tensor = (over: object): string =>
  JSON.stringify({ inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2], ...over }] })
const binary = { 'ce-datacontenttype': 'application/octet-stream' }

const BAD: readonly Bad[] = [
  { name: 'broken JSON', body: '{"inputs": [', reason: 'malformed', says: /JSON/ },
  { name: 'an empty body', body: '', reason: 'malformed', says: /JSON/ },
  {
    name: 'a megabyte of nested arrays',
    body: '['.repeat(500_000) + ']'.repeat(500_000),
    reason: 'malformed',
    says: /deep|nest/i,
  },
  { name: 'not UTF-8', body: Uint8Array.of(0x7b, 0xff, 0x7d), reason: 'malformed', says: /UTF-8/ },
  { name: 'duplicate keys', body: '{"inputs": [], "inputs": []}', reason: 'malformed', says: /inputs/ },
  { name: 'neither inputs nor features', body: '{"rows": []}', reason: 'malformed', says: /inputs|rows/ },
  {
    name: 'a number too large for JSON',
    body: tensor({}).replace('[1,2]}', '[1e999,2]}'),
    reason: 'malformed',
    says: /1e999|large/,
  },
  {
    name: 'a number too large for FP32',
    body: tensor({ data: [1e300, 2] }),
    reason: 'schema-mismatch',
    says: /data\[0\].*1e\+?300/,
  },
  {
    name: 'a bare NaN',
    body: tensor({}).replace('[1,2]}', '[NaN,2]}'),
    reason: 'malformed',
    says: /has NaN/,
  },
  { name: 'gzip', body: gzipSync(tensor({})), reason: 'malformed', says: /gzip.*uncompressed/ },
  {
    name: 'a request of TensorFlow Serving',
    body: '{"instances": [[1, 2]]}',
    reason: 'malformed',
    says: /instances.*inputs/,
  },
  {
    name: 'an INT8 out of range',
    model: 'identity-int8',
    body: tensor({ datatype: 'INT8', data: [128, 0] }),
    reason: 'schema-mismatch',
    says: /128/,
  },
  {
    name: 'a fraction for INT64',
    model: 'identity-int64',
    body: tensor({ datatype: 'INT64', data: [1.5, 0] }),
    reason: 'schema-mismatch',
    says: /1\.5/,
  },
  {
    name: 'NUL in a string',
    model: 'identity-bytes',
    body: tensor({ datatype: 'BYTES', data: ['a\u0000b', ''] }),
    reason: 'schema-mismatch',
    says: /NUL|\\u0000/,
  },
  {
    name: 'a lone surrogate',
    model: 'identity-bytes',
    body: tensor({ datatype: 'BYTES', data: ['q', 'y'] }).replace('"q"', '"\\ud800"'),
    reason: 'schema-mismatch',
    says: /surrogate|well-formed/i,
  },
  { name: 'an unknown input', body: tensor({ name: 'y' }), reason: 'schema-mismatch', says: /y/ },
  {
    name: 'a missing input',
    model: 'several',
    body: '{"inputs": []}',
    reason: 'schema-mismatch',
    says: /input/,
  },
  {
    name: 'a repeated input',
    body: JSON.stringify({
      inputs: [1, 2].map(() => ({ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] })),
    }),
    reason: 'schema-mismatch',
    says: /x/,
  },
  {
    name: 'a wrong datatype',
    body: tensor({ datatype: 'FP64' }),
    reason: 'schema-mismatch',
    says: /FP64.*FP32|FP32.*FP64/,
  },
  {
    name: 'an unknown datatype',
    body: tensor({ datatype: 'FLOAT' }),
    reason: 'malformed',
    says: /FLOAT/,
  },
  { name: 'a negative shape', body: tensor({ shape: [-1, 2] }), reason: 'schema-mismatch', says: /-1/ },
  {
    name: 'a shape that overflows',
    body: tensor({ shape: [2 ** 40, 2 ** 40] }),
    reason: 'schema-mismatch',
    says: /shape/,
  },
  {
    name: 'a shape that asks for too much',
    body: tensor({ shape: [2 ** 31, 2 ** 10] }),
    reason: 'too-large',
    says: /shape/,
  },
  {
    name: 'fewer values than the shape says',
    body: tensor({ data: [1] }),
    reason: 'schema-mismatch',
    says: /data/,
  },
  {
    name: 'a wrong rank',
    model: 'linear',
    body: tensor({ shape: [2] }),
    reason: 'schema-mismatch',
    says: /shape|rank|dimension/i,
  },
  {
    name: 'an unknown output',
    body: JSON.stringify({ ...JSON.parse(tensor({})), outputs: [{ name: 'nope' }] }),
    reason: 'schema-mismatch',
    says: /nope/,
  },
  {
    name: 'an unknown content type',
    body: tensor({}),
    headers: { 'ce-datacontenttype': 'application/xml' },
    reason: 'malformed',
    says: /application\/xml/,
  },
  {
    name: 'another charset',
    body: tensor({}),
    headers: { 'ce-datacontenttype': 'application/json; charset=latin1' },
    reason: 'malformed',
    says: /latin1/,
  },
  {
    name: 'the binary form without its length',
    body: Uint8Array.of(1, 2, 3),
    headers: binary,
    reason: 'malformed',
    says: /Inference-Header-Content-Length/,
  },
  {
    name: 'the binary form with a wrong length',
    body: Uint8Array.of(1, 2, 3),
    headers: { ...binary, 'Inference-Header-Content-Length': '99' },
    reason: 'malformed',
    says: /99/,
  },
  {
    name: 'a header that is not percent-encoded UTF-8',
    body: tensor({}),
    headers: { 'ce-subject': '%ff', 'ce-expirytime': '%zz' },
    reason: 'malformed',
    says: /ce-expirytime/,
  },
  {
    name: 'an attempt that is no number',
    body: tensor({}),
    headers: { 'Pelton-Attempt': 'many' },
    reason: 'malformed',
    says: /Pelton-Attempt.*many/,
  },
  {
    name: 'a signal of more samples than rows are allowed',
    model: 'rank-1',
    body: JSON.stringify({
      inputs: [{ name: 'x', shape: [5000], datatype: 'FP32', data: new Array(5000).fill(0) }],
    }),
    reason: 'too-large',
    says: /5000.*limits\.maxRowsPerEvent and set batching\.enabled: false/,
  },
  { name: 'an unknown model', model: 'nobody', body: tensor({}), reason: 'unknown-model', says: /nobody/ },
  {
    name: 'an unknown version',
    body: tensor({}),
    headers: { 'Pelton-Model-Version': '7' },
    reason: 'unknown-model',
    says: /7/,
  },
  {
    name: 'a batch-style structured event',
    body: '[]',
    headers: { 'Content-Type': 'application/cloudevents-batch+json' },
    reason: 'malformed',
    says: /cloudevents-batch/,
  },
  {
    name: 'an envelope with data twice',
    body: '{"specversion":"1.0","data":{"inputs":[]},"data_base64":"AA=="}',
    headers: { 'Content-Type': 'application/cloudevents+json' },
    reason: 'malformed',
    says: /either data or data_base64/,
  },
  {
    name: 'another version of CloudEvents',
    body: tensor({}),
    headers: { 'ce-specversion': '2.0' },
    reason: 'malformed',
    says: /CloudEvents is not read here \(ce-specversion = "2.0"\)/,
  },
  {
    name: 'a broken attribute',
    body: tensor({}),
    headers: { 'ce-type': '100%' },
    reason: 'malformed',
    says: /ce-type = "100%"/,
  },
  {
    name: 'a text',
    body: tensor({}),
    headers: { 'ce-datacontenttype': 'text/plain; charset=us-ascii' },
    reason: 'malformed',
    says: /content type is not supported \(ce-datacontenttype/,
  },
]

const publish = (
  model: string,
  id: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> => pipeline.publish({ model, id, body, headers })

test('each kind of bad input is a dead letter that names field or value, and its neighbours are predicted', async () => {
  const good: string[] = []
  for (const [index, bad] of BAD.entries()) {
    const model = bad.model ?? 'identity-fp32'
    await publish(model, `bad-${index}`, bad.body, bad.headers)
    good.push(await publish('identity-fp32', `good-${index}`, tensor({ data: [index, -1 - index] })))
  }
  const outcomes = await pipeline.settled(2 * BAD.length)
  for (const [index, bad] of BAD.entries()) {
    const deadLetter = outcomes.deadLetters.get(
      eventToken(bad.model ?? 'identity-fp32', 'test', `bad-${index}`),
    )
    expect(deadLetter, bad.name).toBeDefined()
    expect(readHeader(deadLetter!.headers, HEADERS.deadLetterReason), bad.name).toBe(bad.reason)
    const description = readHeader(deadLetter!.headers, HEADERS.deadLetterDescription) ?? ''
    expect(description, bad.name).toMatch(bad.says)
    expect(description, bad.name).not.toMatch(/\n|node_modules|at Object|\.ts:/)
    expect(Buffer.from(deadLetter!.body).equals(Buffer.from(bad.body)), bad.name).toBe(true)
  }
  for (const [index, token] of good.entries()) {
    const prediction = JSON.parse(Buffer.from(outcomes.predictions.get(token)!.body).toString())
    expect(prediction.outputs[0].data).toEqual([index, -1 - index])
  }
  expect(worker.log.filter(({ level }) => level === 'fatal')).toEqual([])
})

test('the same id with another payload keeps its first outcome and is reported as a conflict', async () => {
  const token = await publish('identity-fp32', 'twice', tensor({ data: [1, 1] }))
  const before = (await pipeline.settled([token])).predictions.get(token)
  await publish('identity-fp32', 'twice', tensor({ data: [2, 2] }))
  const after = (await pipeline.settled([token])).predictions.get(token)
  expect(after?.sequence).toBe(before?.sequence)
  await eventually('the worker to report the conflict', () =>
    worker.log.some(({ msg, eventId }) => eventId === 'twice' && String(msg).includes('another payload')),
  )
})

test('hostile models are refused by name and the others are served', async () => {
  const refused = (): unknown[] =>
    worker.log
      .filter(({ level, model }) => level === 'error' && model !== undefined)
      .map(({ model }) => model)
  await eventually('three models to be refused', () => new Set(refused()).size === 3, { seen: refused })
  expect([...new Set(refused())].sort()).toEqual(['endless-loop', 'external-above', 'giant-initialiser'])
})

test('an event of a model that was refused is not at fault, and waits', async () => {
  const token = await publish('endless-loop', 'waits', tensor({}))
  await eventually('it to be parked', async () => {
    const { ledger } = await readOutcomes(pipeline.connection)
    return ledger.get(Math.max(...ledger.keys()))?.includes('retried')
  })
  const { predictions, failures, waiting } = await readOutcomes(pipeline.connection)
  expect([predictions.has(token), failures.has(token), waiting]).toEqual([false, false, 1])
})
