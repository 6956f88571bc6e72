import { Agent } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeResponse, encodeRequest } from '../../shared/sdk/contract/open-inference.ts'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import type { Outcomes, StoredRecord } from '../kit/outcomes.ts'
import { eventually } from '../kit/wait.ts'
import { type GivenAnswer, send } from './exchanges.ts'
import { findPythonWithOnnx, type OperatorCase } from './operator-cases.ts'
import {
  inputsOf,
  isSteady,
  type OperatorStage,
  type OperatorTrial,
  openOperatorStage,
  shorten,
  unlikeBare,
} from './operator-stage.ts'
import { isClose } from './same-tensors.ts'

const python = await findPythonWithOnnx()
if (python === undefined)
  console.log(
    'conformance is skipped: no python3 has the onnx package (Debian: apt-get install python3-onnx)',
  )

describe.skipIf(python === undefined)('the operator models of the ONNX project', () => {
  let stage: OperatorStage

  beforeAll(async () => {
    stage = await openOperatorStage(python ?? '')
  }, 1_800_000)

  afterAll(() => stage?.close())

  test('are generated, and most of them run in the bare runtime', () => {
    expect(stage.cases.length).toBeGreaterThan(900)
    expect(stage.trials.length).toBeGreaterThan(850)
  })

  test('are served where the bare runtime runs them', () => {
    const run = new Set(stage.trials.map(({ operator }) => operator.name))
    expect([...run].filter((name) => stage.refused.has(name))).toEqual([])
    // What is not served was refused by name: nothing is passed over silently.
    expect([...stage.refused.keys()].sort()).toEqual(
      stage.cases.flatMap(({ name }) => (run.has(name) ? [] : [name])).sort(),
    )
  })

  describe('by events', () => {
    const FORMS = ['json', 'binary'] as const
    type Tokens = Readonly<Record<(typeof FORMS)[number], string>>
    let asked: readonly (OperatorTrial & { readonly tokens: Tokens })[]
    let outcomes: Outcomes

    beforeAll(async () => {
      asked = await publishAll()
      outcomes = await stage.pipeline.settled(2 * asked.length)
    }, 600_000)

    /** Publishes every case twice: as JSON, and as raw bytes. */
    async function publishAll(): Promise<typeof asked> {
      const producer = await createProducer({ connection: stage.pipeline.connection, source: 'conformance' })
      const made: (typeof asked)[number][] = []
      for (const trial of stage.trials) {
        const model = trial.operator.name
        const publish = (form: (typeof FORMS)[number]) =>
          producer.publish({
            ...{ model, id: form, binary: form === 'binary' },
            inputs: inputsOf(trial.operator),
          })
        const [json, binary] = await Promise.all([publish('json'), publish('binary')])
        made.push({ ...trial, tokens: { json: json.token, binary: binary.token } })
      }
      await producer.close()
      return made
    }

    test.each(FORMS)('answer one of %s bit for bit like the bare runtime', (form) => {
      const wrong: string[] = []
      for (const { operator, bare, tokens } of asked) {
        const answer = outcomes.predictions.get(tokens[form])
        const failure = outcomes.failures.get(tokens[form])
        const missing = failure === undefined ? 'no outcome' : reasonOf(failure)
        const problem = answer === undefined ? missing : unlikeBare(outputsOf(answer), bare)
        if (problem !== undefined) wrong.push(`${operator.name}: ${problem}`)
      }
      expect(wrong).toEqual([])
    })

    test('end as one outcome each, and each is in the ledger', () => {
      expect(outcomes.predictions.size).toBe(2 * asked.length)
      expect(outcomes.failures.size).toBe(0)
      expect([...outcomes.ledger.values()].map(String)).toEqual(Array(2 * asked.length).fill('predicted'))
    })

    function outputsOf({ headers, body }: StoredRecord): readonly Tensor[] {
      const contentType = readHeader(headers, HEADERS.dataContentType)
      const length = readHeader(headers, HEADERS.inferenceHeaderLength)
      return decodeResponse(contentType, length, body).outputs
    }

    function reasonOf({ headers }: StoredRecord): string {
      return `${readHeader(headers, HEADERS.deadLetterReason)}: ${readHeader(headers, HEADERS.deadLetterDescription)}`
    }
  })

  describe('over HTTP', () => {
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

    interface Metadata {
      readonly inputs?: readonly { readonly name: string }[]
      readonly error?: string
    }

    let gateway: GatewayProcess
    const agent = new Agent({ keepAlive: true })

    beforeAll(async () => {
      gateway = await startGateway({ url: stage.pipeline.broker.url, env: ROOM })
      const served = stage.cases.length - stage.refused.size
      const isKnown = async (): Promise<boolean> => (await ready()) === served
      await eventually('the gateway to know all that are served', isKnown, { seen: ready })
    })

    afterAll(async () => {
      agent.destroy()
      await gateway?.end()
    })

    /** How many models the gateway knows to be served. */
    async function ready(): Promise<number> {
      const response = await fetch(`${gateway.address}/v2/models`)
      return ((await response.json()) as { readonly models: readonly string[] }).models.length
    }

    test('have the metadata of what they take', async () => {
      const wrong: unknown[] = []
      for (const { operator } of stage.trials) {
        const response = await fetch(`${gateway.address}/v2/models/${operator.name}`)
        const { inputs, error } = (await response.json()) as Metadata
        const names = new Set(inputs?.map(({ name }) => name))
        if (inputsOf(operator).some(({ name }) => !names.has(name)))
          wrong.push([operator.name, inputs, error])
      }
      expect(wrong).toEqual([])
    })

    test.each(MODES)('answer like the bare runtime, raw in $isRawIn, raw out $isRawOut', async (mode) => {
      const wrong: string[] = []
      const left = stage.trials.values()
      const ask = async (): Promise<void> => {
        for (const trial of left) {
          const problem = await tryOut(trial, mode)
          if (problem !== undefined) wrong.push(`${trial.operator.name}: ${problem}`)
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, ask))
      expect(wrong).toEqual([])
    })

    /** What is wrong with the answer, if anything is. */
    async function tryOut(
      { operator, bare }: OperatorTrial,
      { isRawIn, isRawOut }: (typeof MODES)[number],
    ): Promise<string | undefined> {
      const question = { inputs: inputsOf(operator), parameters: { binary_data_output: isRawOut } }
      const { body, inferenceHeaderLength } = encodeRequest(question, { binary: isRawIn })
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
      return unlikeBare(outputsOf(answer, bytes), bare)
    }

    function outputsOf({ headers }: GivenAnswer, bytes: Buffer): readonly Tensor[] {
      return decodeResponse(headers['content-type'], headers['inference-header-content-length'], bytes)
        .outputs
    }
  })

  test('report: tested, refused, why', () => {
    const { cases, trials, notRun, refused } = stage
    const random = trials.filter(({ bare }) => !isSteady(bare))
    const unlike = trials.filter(({ operator, bare }) => !isAsExpected(operator, bare.outputs))
    const lines = [
      `${cases.length} operator models generated`,
      `${trials.length} run in the bare runtime and are served: ${2 * trials.length} events, every answer equal`,
      `  of these ${random.length} draw random numbers (datatype and shape compared): ${namesOf(random)}`,
      `  the bare runtime itself is not within ONNX's tolerance for ${unlike.length}: ${namesOf(unlike)}`,
      `${cases.length - trials.length} do not run in the bare runtime:`,
      ...[...notRun].map(([reason, names]) => `  ${names.length} ${reason} (${names.join(', ')})`),
      `${refused.size} refused by Pelton at start-up, none of which the bare runtime runs:`,
      ...groups(refused),
    ]
    console.log(lines.join('\n'))
    expect(trials.length + [...notRun.values()].flat().length).toBe(cases.length)
  })
})

function isAsExpected({ outputs, rtol, atol }: OperatorCase, found: readonly Tensor[]): boolean {
  return outputs.every(({ name, tensor }) => {
    const own = found.find((output) => output.name === name)
    return tensor === undefined || own === undefined || isClose(own, tensor, rtol, atol)
  })
}

function namesOf(trials: readonly OperatorTrial[]): string {
  return trials.map(({ operator }) => operator.name).join(', ')
}

/** Names by reason, one line each. */
function groups(reasons: ReadonlyMap<string, string>): string[] {
  const byReason = new Map<string, string[]>()
  for (const [name, reason] of reasons) {
    const short = shorten(reason)
    byReason.set(short, [...(byReason.get(short) ?? []), name])
  }
  return [...byReason].map(([reason, names]) => `  ${names.length} ${reason} (${names.join(', ')})`)
}
