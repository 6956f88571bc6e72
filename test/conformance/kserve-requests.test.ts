import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeEventData, decodeResponse } from '../../shared/sdk/contract/open-inference.ts'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

interface KServeRequest {
  readonly from: string
  readonly model: string
  readonly body: { readonly inputs: readonly object[]; readonly parameters?: object }
}

const { requests } = JSON.parse(
  await readFile(join(import.meta.dirname, 'kserve-requests.fixture.json'), 'utf8'),
) as { readonly requests: readonly KServeRequest[] }

describe('KServe`s requests', () => {
  let folder: Awaited<ReturnType<typeof modelsFolder>>
  let pipeline: Pipeline
  let gateway: GatewayProcess

  beforeAll(async () => {
    folder = await modelsFolder(['kserve-iris', 'kserve-text', 'kserve-columns'])
    pipeline = await openPipeline({ models: folder.path })
    await pipeline.startWorker()
    gateway = await startGateway({ url: pipeline.broker.url })
    await eventually('all models to be served', async () => {
      const response = await fetch(`${gateway.address}/v2/models`)
      return ((await response.json()) as { readonly models: readonly string[] }).models.length === 3
    })
  })

  afterAll(async () => {
    await gateway?.end()
    await pipeline?.close()
    await folder?.remove()
  })

  async function infer(model: string, body: object, type: string): Promise<readonly Tensor[]> {
    const response = await fetch(`${gateway.address}/v2/models/${model}/infer`, {
      ...{ method: 'POST', headers: { 'content-type': type }, body: JSON.stringify(body) },
    })
    expect(response.status).toBe(200)
    const length = response.headers.get('inference-header-content-length') ?? undefined
    const bytes = new Uint8Array(await response.arrayBuffer())
    return decodeResponse(response.headers.get('content-type') ?? '', length, bytes).outputs
  }

  test.each(requests)('of $from are answered', async ({ model, body }) => {
    const given = decodeEventData(undefined, undefined, Buffer.from(JSON.stringify(body)))
    const outputs = await infer(model, body, 'application/json')
    const inputs = given.kind === 'tensors' ? given.inputs : []
    expect(outputs.map(({ datatype, shape, data }) => ({ datatype, shape, data }))).toEqual(
      inputs.map(({ datatype, shape, data }) => ({ datatype, shape, data })),
    )
  })

  test.each(requests)('of $from are answered as its Python client writes them', async ({ model, body }) => {
    // InferRequest.to_rest() adds an id, and the model's name; httpx sends it so.
    const written = { id: 'c5a3', model_name: model, ...body }
    expect(await infer(model, written, 'application/json')).toEqual(await infer(model, body, 'text/plain'))
  })
})
