import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeResponse } from '../../shared/sdk/contract/open-inference.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { openStage, type Stage } from './stage.ts'

const MODELS = 500
/** `linear.onnx` is score = x·[1, 2, 3] + 0.5; its bias lies behind the name of the tensor. */
const BIAS_AT = Buffer.from([0x62, 0x4a, 0x04])

describe('500 models in one folder', () => {
  let folder: string
  let stage: Stage
  let worker: WorkerProcess

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pelton-many-'))
    const linear = await readFile(fileURLToPath(new URL('../models/linear.onnx', import.meta.url)))
    const biasAt = linear.indexOf(BIAS_AT) + BIAS_AT.length
    expect(linear.readFloatLE(biasAt)).toBe(0.5)
    for (let index = 0; index < MODELS; index++) {
      linear.writeFloatLE(1_000 * index, biasAt)
      await mkdir(join(folder, `model-${index}`, '1'), { recursive: true })
      await writeFile(join(folder, `model-${index}`, '1', 'model.onnx'), linear)
    }
    stage = await openStage()
    worker = await startWorkerProcess({ url: stage.url, models: folder })
  })

  afterAll(async () => {
    worker?.kill('SIGKILL')
    await worker?.ended
    await stage?.close()
    await rm(folder, { recursive: true, force: true })
  })

  test('each answers with its own numbers, over and over, though fewer are kept open', async () => {
    const wanted = new Map<string, number>()
    // Twice round all of them: the second time every model but the last few has been closed meanwhile.
    for (const row of [1, 2]) {
      await Promise.all(
        Array.from({ length: MODELS }, async (_, index) => {
          const inputs = [
            { name: 'x', datatype: 'FP32', shape: [1, 3], data: Float32Array.of(row, 0, 0) },
          ] as const
          const event = { model: `model-${index}`, id: `${index}-${row}`, inputs }
          wanted.set((await stage.producer.publish(event)).token, 1_000 * index + row)
        }),
      )
      await stage.answered(MODELS * row)
    }
    const { predictions, failures } = await readOutcomes(stage.connection)
    expect(failures.size).toBe(0)
    const found = new Map(
      [...predictions].map(([token, { headers, body }]) => {
        const contentType = readHeader(headers, HEADERS.dataContentType)
        return [token, Number(decodeResponse(contentType, undefined, body).outputs[0]?.data[0])]
      }),
    )
    expect(found).toEqual(wanted)
  }, 1_800_000)
})
