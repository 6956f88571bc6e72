import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeResponse } from '../../shared/sdk/contract/open-inference.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'

const MODELS = ['identity-fp32', 'identity-bytes', 'identity-uint8', 'as-many', 'linear']

let folder: Awaited<ReturnType<typeof modelsFolder>>
let pipeline: Pipeline

beforeEach(async () => {
  folder = await modelsFolder(MODELS)
  for (const name of MODELS.slice(0, 3)) {
    await mkdir(join(folder.path, name), { recursive: true })
    await writeFile(join(folder.path, name, 'manifest.yaml'), 'limits: { maxRowsPerEvent: 1000000 }\n')
  }
  pipeline = await openPipeline({ models: folder.path })
  onTestFinished(() => pipeline.close())
})
afterEach(() => folder.remove())

const body = (datatype: string, data: readonly unknown[], more: object = {}): string =>
  JSON.stringify({ ...more, inputs: [{ name: 'x', datatype, shape: [data.length / 2, 2], data }] })

async function answersOf(tokens: readonly string[]) {
  const { predictions, deadLetters } = await pipeline.settled(tokens)
  return tokens.map((token) => {
    const prediction = predictions.get(token)
    const letter = deadLetters.get(token)
    if (prediction === undefined) return readHeader(letter?.headers ?? new Map(), HEADERS.deadLetterReason)
    const { headers, body: stored } = prediction
    const type = readHeader(headers, HEADERS.dataContentType)
    return decodeResponse(type, readHeader(headers, HEADERS.inferenceHeaderLength), stored).outputs[0]?.data
  })
}

test('large events of every form are predicted exactly, beside small ones', async () => {
  await pipeline.startWorker()
  const floats = Array.from({ length: 30_000 }, (_, index) => index / 4)
  const texts = Array.from({ length: 20_000 }, (_, index) => `ä${index}`)
  const pixels = Uint8Array.from({ length: 300_000 }, (_, index) => index % 251)
  const head = Buffer.from(
    JSON.stringify({
      parameters: { binary_data_output: true },
      inputs: [
        { name: 'x', datatype: 'UINT8', shape: [150_000, 2], parameters: { binary_data_size: 300_000 } },
      ],
    }),
  )
  const structured = JSON.stringify({
    specversion: '1.0',
    id: 's',
    source: 'test',
    data: JSON.parse(body('FP32', floats)),
  })
  const events = [
    { id: 'json', model: 'identity-fp32', body: body('FP32', floats) },
    { id: 'texts', model: 'identity-bytes', body: body('BYTES', texts) },
    {
      id: 'binary',
      model: 'identity-uint8',
      body: Buffer.concat([head, pixels]),
      headers: { [HEADERS.inferenceHeaderLength]: String(head.length) },
    },
    {
      id: 's',
      model: 'identity-fp32',
      body: structured,
      headers: { [HEADERS.contentType]: 'application/cloudevents+json' },
    },
    { id: 'small', model: 'identity-fp32', body: body('FP32', [1, 2]) },
  ]
  const tokens: string[] = []
  for (const event of events) tokens.push(await pipeline.publish(event))
  const exact = Float32Array.from(floats)
  expect(await answersOf(tokens)).toEqual([exact, texts, pixels, exact, Float32Array.of(1, 2)])
})

test('a large event that is refused becomes a dead letter with its whole body', async () => {
  await pipeline.startWorker()
  const bodies = {
    'unknown-model': body('FP32', Array(40_000).fill(1)),
    malformed: `{"inputs":[${'1,'.repeat(200_000)}`,
    'schema-mismatch': body('FP64', Array(40_000).fill(1)),
  }
  for (const [reason, text] of Object.entries(bodies)) {
    const model = reason === 'unknown-model' ? 'nobody' : 'identity-fp32'
    const token = await pipeline.publish({ id: reason, model, body: text })
    const letter = (await pipeline.settled([token])).deadLetters.get(token)
    expect(readHeader(letter?.headers ?? new Map(), HEADERS.deadLetterReason)).toBe(reason)
    expect(Buffer.from(letter?.body ?? []).toString()).toBe(text)
  }
})

test('an answer the broker does not take is refused from its shape, at its first attempt, and disturbs nobody', async () => {
  await pipeline.startWorker()
  const asks = (count: number) => ({ inputs: [{ name: 'n', datatype: 'INT64', shape: [1], data: [count] }] })
  const tokens: string[] = []
  for (const count of [5_000_000, 30_000_000, 400_000])
    tokens.push(await pipeline.publish({ id: String(count), model: 'as-many', body: asks(count) }))
  const near = await pipeline.publish({
    id: 'near',
    model: 'linear',
    body: { inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3], data: [1, 1, 1] }] },
  })
  const { deadLetters, predictions } = await pipeline.settled([...tokens, near])
  const told = tokens.map((token) => {
    const { headers } = deadLetters.get(token) ?? { headers: new Map<string, string>() }
    const names = [HEADERS.deadLetterReason, HEADERS.stage, HEADERS.attempt, HEADERS.deadLetterDescription]
    return names.map((name) => readHeader(headers, name) ?? '')
  })
  expect(told.map(([reason, stage, attempt]) => [reason, stage, attempt])).toEqual(
    tokens.map(() => ['too-large', 'publish', '1']),
  )
  expect(told[0]?.[3]).toMatch(
    /at least 10000000 bytes, more than the 1048576 .*outputs\.y\.shape = \[5000000\]/,
  )
  expect(told[2]?.[3]).toMatch(/takes more than 1048576 characters as JSON/)
  expect(predictions.has(near)).toBe(true)
})
