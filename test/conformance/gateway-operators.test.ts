import { mkdtemp, rm } from 'node:fs/promises'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeResponse, encodeRequest } from '../../shared/sdk/contract/open-inference.ts'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import { type BareAnswer, startBareRuntime } from './bare-runtime.ts'
import { type GivenAnswer, send } from './exchanges.ts'
import { findPythonWithOnnx, generateCases, type OperatorCase } from './operator-cases.ts'
import { difference, formOf } from './same-tensors.ts'

/** How tensors go in, and how they come out. */
const MODES = [
  { isRawIn: false, isRawOut: false },
  { isRawIn: false, isRawOut: true },
  { isRawIn: true, isRawOut: false },
  { isRawIn: true, isRawOut: true },
] as const

/** One case has two megabytes of inputs as JSON, and slow models have their time. */
const ROOM = { PELTON_GATEWAY_MAX_BODY_BYTES: String(8 * 1024 ** 2), PELTON_GATEWAY_TIMEOUT_MS: '60000' }

/** Requests at the same time. */
const AT_ONCE = 16

const python = await findPythonWithOnnx()
if (python === undefined)
  console.log(
    'conformance is skipped: no python3 has the onnx package (Debian: apt-get install python3-onnx)',
  )

interface Metadata {
  readonly inputs?: readonly { readonly name: string }[]
  readonly error?: string
}

type Ran = Extract<BareAnswer, { kind: 'ran' }>

describe.skipIf(python === undefined)('the operator models of the ONNX project over HTTP', () => {
  let folder: string
  let pipeline: Pipeline
  let gateway: GatewayProcess
  const agent = new Agent({ keepAlive: true })
  const trials: { readonly operator: OperatorCase; readonly bare: Ran }[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pelton-operators-'))
    const cases = await generateCases(python ?? '', folder)
    // One case has two megabytes of inputs as JSON; the default of the server is one.
    pipeline = await openPipeline({ models: join(folder, 'models'), broker: { config: 'max_payload: 8MB' } })
    await pipeline.startWorker()
    gateway = await startGateway({ url: pipeline.broker.url, env: ROOM })
    const isLookedAt = (): boolean => lookedAt().served + lookedAt().refused === cases.length
    await eventually('every model to be looked at', isLookedAt, { limitMs: 1_500_000, seen: lookedAt })
    const isKnown = async (): Promise<boolean> => (await ready()) === lookedAt().served
    await eventually('the gateway to know all that are served', isKnown, { seen: ready })
    const bareRuntime = await startBareRuntime()
    for (const operator of cases) {
      const bare = await bareRuntime.run({ path: operator.path, inputs: inputsOf(operator) })
      if (bare.kind === 'ran') trials.push({ operator, bare })
    }
    await bareRuntime.close()
  }, 1_800_000)

  afterAll(async () => {
    agent.destroy()
    await gateway?.end()
    await pipeline?.close()
    await rm(folder, { recursive: true, force: true })
  })

  /** How many models its worker serves, and how many it has refused, as its log has it. */
  function lookedAt(): { readonly served: number; readonly refused: number } {
    const { log = [] } = pipeline.workers[0] ?? {}
    const refused = new Set(log.flatMap(({ level, model }) => (level === 'error' ? (model ?? []) : [])))
    const serving = log.findLast(({ msg }) => msg === 'serving')
    return { served: Number(serving?.served ?? 0), refused: refused.size }
  }

  /** How many models the gateway knows to be served. */
  async function ready(): Promise<number> {
    const response = await fetch(`${gateway.address}/v2/models`)
    return ((await response.json()) as { readonly models: readonly string[] }).models.length
  }

  test('are hundreds', () => {
    expect(trials.length).toBeGreaterThan(850)
  })

  test('have the metadata of what they take', async () => {
    const wrong: unknown[] = []
    for (const { operator } of trials) {
      const response = await fetch(`${gateway.address}/v2/models/${operator.name}`)
      const { inputs, error } = (await response.json()) as Metadata
      const names = new Set(inputs?.map(({ name }) => name))
      if (inputsOf(operator).some(({ name }) => !names.has(name))) wrong.push([operator.name, inputs, error])
    }
    expect(wrong).toEqual([])
  })

  test.each(MODES)('answer like the bare runtime, raw in $isRawIn, raw out $isRawOut', async (mode) => {
    const wrong: string[] = []
    const left = trials.values()
    const ask = async (): Promise<void> => {
      for (const { operator, bare } of left) {
        const problem = await tryOut(operator, bare, mode)
        if (problem !== undefined) wrong.push(`${operator.name}: ${problem}`)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, ask))
    expect(wrong).toEqual([])
  })

  /** What is wrong with the answer, if anything is. */
  async function tryOut(
    operator: OperatorCase,
    bare: Ran,
    { isRawIn, isRawOut }: (typeof MODES)[number],
  ): Promise<string | undefined> {
    const asked = { inputs: inputsOf(operator), parameters: { binary_data_output: isRawOut } }
    const { body, inferenceHeaderLength } = encodeRequest(asked, { binary: isRawIn })
    const length =
      inferenceHeaderLength === undefined
        ? []
        : ['Inference-Header-Content-Length', String(inferenceHeaderLength)]
    const answer = await send(
      gateway.address,
      {
        ...{ method: 'POST', path: `/v2/models/${operator.name}/infer` },
        headers: ['Host', 'localhost', 'Content-Length', String(body.length), ...length],
        body: Buffer.from(body).toString('base64'),
      },
      agent,
    )
    const bytes = Buffer.from(answer.body, 'base64')
    if (answer.status !== 200) return `${answer.status} ${bytes.toString().slice(0, 300)}`
    const isRaw = answer.headers['inference-header-content-length'] !== undefined
    if (isRaw !== (isRawOut && bare.outputs.length > 0)) return `raw: ${isRaw}`
    return compare(outputsOf(answer, bytes), bare)
  }
})

function inputsOf({ inputs }: OperatorCase): readonly Tensor[] {
  return inputs.flatMap(({ tensor }) => tensor ?? [])
}

function outputsOf({ headers }: GivenAnswer, bytes: Buffer): readonly Tensor[] {
  return decodeResponse(headers['content-type'], headers['inference-header-content-length'], bytes).outputs
}

/** Some operators draw random numbers: of those only what does not depend on chance. */
function compare(found: readonly Tensor[], bare: Ran): string | undefined {
  if (difference(bare.again, bare.outputs) === undefined) return difference(found, bare.outputs)
  return difference(found.map(emptied), bare.outputs.map(emptied))
}

function emptied(tensor: Tensor): Tensor {
  return { ...tensor, name: formOf(tensor), data: [] }
}
