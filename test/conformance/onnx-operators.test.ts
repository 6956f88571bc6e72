import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EmbeddedBroker, startBroker } from '../../shared/sdk/broker/server.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeResponse } from '../../shared/sdk/contract/open-inference.ts'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import type { Outcomes, StoredRecord } from '../kit/outcomes.ts'
import { settled } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { type BareAnswer, startBareRuntime } from './bare-runtime.ts'
import { findPythonWithOnnx, generateCases, type OperatorCase } from './operator-cases.ts'
import { difference, formOf, isClose } from './same-tensors.ts'

const FORMS = ['json', 'binary'] as const
const python = await findPythonWithOnnx()
if (python === undefined)
  console.log(
    'conformance is skipped: no python3 has the onnx package (Debian: apt-get install python3-onnx)',
  )

/** A case, what the bare runtime makes of it, and the answers to its two events. */
interface Trial {
  readonly operator: OperatorCase
  readonly bare: BareAnswer
  readonly tokens: Readonly<Record<(typeof FORMS)[number], string>>
}

describe.skipIf(python === undefined)('the operator models of the ONNX project', () => {
  let folder: string
  let broker: EmbeddedBroker
  let connection: NatsConnection
  let worker: WorkerProcess
  let cases: readonly OperatorCase[]
  let trials: readonly Trial[]
  let outcomes: Outcomes
  /** Why a model is not served, by its name. */
  const refused = new Map<string, string>()

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pelton-operators-'))
    cases = await generateCases(python ?? '', folder)
    // One case has two megabytes of inputs as JSON; the default of the server is one.
    broker = await startBroker({ config: 'max_payload: 8MB' })
    connection = await connect({ servers: broker.url })
    await provision(connection)
    worker = await startWorkerProcess({ url: broker.url, models: join(folder, 'models') })
    // An event of a model that is not looked at yet waits for it, longer each time.
    await eventually('every model to be looked at', () => lookedAt() === cases.length, {
      limitMs: 1_500_000,
      seen: lookedAt,
    })
    trials = await runTrials()
    outcomes = await settled(connection, 2 * trials.length)
  }, 1_800_000)

  afterAll(async () => {
    worker?.kill('SIGKILL')
    await worker?.ended
    await connection?.close()
    await broker?.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** How many models are served, or refused. */
  function lookedAt(): number {
    for (const { level, model, msg } of worker.log)
      if (level === 'error' && typeof model === 'string') refused.set(model, String(msg))
    const serving = worker.log.findLast(({ msg }) => msg === 'serving')
    return refused.size + Number(serving?.served ?? 0)
  }

  /** Runs every case bare, and publishes it twice where it ran: as JSON, and as raw bytes. */
  async function runTrials(): Promise<Trial[]> {
    const bareRuntime = await startBareRuntime()
    const producer = await createProducer({ connection, source: 'conformance' })
    const made: Trial[] = []
    for (const operator of cases) {
      const inputs = operator.inputs.flatMap(({ tensor }) => tensor ?? [])
      const bare = await bareRuntime.run({ path: operator.path, inputs })
      if (bare.kind !== 'ran') continueWith(operator, bare)
      else {
        const [json, binary] = await Promise.all(
          FORMS.map((form) =>
            producer.publish({ model: operator.name, id: form, inputs, binary: form === 'binary' }),
          ),
        )
        made.push({ operator, bare, tokens: { json: json!.token, binary: binary!.token } })
      }
    }
    await producer.close()
    await bareRuntime.close()
    return made
  }

  const notRun = new Map<string, string[]>()
  function continueWith({ name }: OperatorCase, answer: Exclude<BareAnswer, { kind: 'ran' }>): void {
    const reason = `${answer.kind}: ${shorten(answer.reason)}`
    notRun.set(reason, [...(notRun.get(reason) ?? []), name])
  }

  test('are generated, and most of them run in the bare runtime', () => {
    expect(cases.length).toBeGreaterThan(900)
    expect(trials.length).toBeGreaterThan(850)
  })

  test('are served where the bare runtime runs them', () => {
    expect(
      trials.filter(({ operator }) => refused.has(operator.name)).map(({ operator }) => operator.name),
    ).toEqual([])
    // What is not served was refused by name: nothing is passed over silently.
    const run = new Set(trials.map(({ operator }) => operator.name))
    expect([...refused.keys()].sort()).toEqual(
      cases.flatMap(({ name }) => (run.has(name) ? [] : [name])).sort(),
    )
  })

  test.each(FORMS)('answer an event of %s bit for bit like the bare runtime', (form) => {
    const wrong: string[] = []
    for (const { operator, bare, tokens } of trials) {
      if (bare.kind !== 'ran') continue
      const answer = outcomes.predictions.get(tokens[form])
      const failure = outcomes.failures.get(tokens[form])
      if (answer === undefined) wrong.push(`${operator.name}: ${failure ? reasonOf(failure) : 'no outcome'}`)
      else {
        const found = outputsOf(answer)
        const problem = isSteady(bare)
          ? difference(found, bare.outputs)
          : difference(found.map(emptied), bare.outputs.map(emptied))
        if (problem !== undefined) wrong.push(`${operator.name}: ${problem}`)
      }
    }
    expect(wrong).toEqual([])
  })

  test('end as one outcome each, and each is in the ledger', () => {
    expect(outcomes.predictions.size).toBe(2 * trials.length)
    expect(outcomes.failures.size).toBe(0)
    expect([...outcomes.ledger.values()].map(String)).toEqual(Array(2 * trials.length).fill('predicted'))
  })

  test('report: tested, refused, why', () => {
    const random = trials.filter(({ bare }) => bare.kind === 'ran' && !isSteady(bare))
    const unlike = trials.filter(
      ({ operator, bare }) => bare.kind === 'ran' && !isAsExpected(operator, bare.outputs),
    )
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

function outputsOf({ headers, body }: StoredRecord): readonly Tensor[] {
  const contentType = readHeader(headers, HEADERS.dataContentType)
  return decodeResponse(contentType, readHeader(headers, HEADERS.inferenceHeaderLength), body).outputs
}

function reasonOf({ headers }: StoredRecord): string {
  return `${readHeader(headers, HEADERS.deadLetterReason)}: ${readHeader(headers, HEADERS.deadLetterDescription)}`
}

/** Whether the runtime gives the same answer twice: some operators draw random numbers. */
function isSteady(bare: Extract<BareAnswer, { kind: 'ran' }>): boolean {
  return difference(bare.again, bare.outputs) === undefined
}

/** Only what does not depend on chance. */
function emptied(tensor: Tensor): Tensor {
  return { ...tensor, name: formOf(tensor), data: [] }
}

function isAsExpected({ outputs, rtol, atol }: OperatorCase, found: readonly Tensor[]): boolean {
  return outputs.every(({ name, tensor }) => {
    const own = found.find((output) => output.name === name)
    return tensor === undefined || own === undefined || isClose(own, tensor, rtol, atol)
  })
}

function namesOf(trials: readonly Trial[]): string {
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

/** The part of a reason that several models share. */
function shorten(reason: string): string {
  return reason
    .replace(/\s+/g, ' ')
    .replace(/(Load model from )\S+/, '$1…')
    .replace(/\/\S+\.(cc|h):\d+/g, '…')
    .slice(0, 160)
}
