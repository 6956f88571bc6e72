import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import { type BareAnswer, startBareRuntime } from './bare-runtime.ts'
import { generateCases, type OperatorCase } from './operator-cases.ts'
import { difference, formOf } from './same-tensors.ts'

type Ran = Extract<BareAnswer, { kind: 'ran' }>

/** A case that the bare runtime runs, and what it makes of it. */
export interface OperatorTrial {
  readonly operator: OperatorCase
  readonly bare: Ran
}

/** Every operator model of the ONNX project, generated, run bare, and looked at by one worker. */
export interface OperatorStage {
  readonly pipeline: Pipeline
  readonly cases: readonly OperatorCase[]
  readonly trials: readonly OperatorTrial[]
  /** Names of the cases that the bare runtime does not run, by why. */
  readonly notRun: ReadonlyMap<string, readonly string[]>
  /** Why the worker does not serve a model, by its name. */
  readonly refused: ReadonlyMap<string, string>
  close(): Promise<void>
}

/** @param python one that has the onnx package */
export async function openOperatorStage(python: string): Promise<OperatorStage> {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-operators-'))
  let pipeline: Pipeline | undefined
  const close = async (): Promise<void> => {
    await pipeline?.close()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const cases = await generateCases(python, folder)
    // One case has two megabytes of inputs as JSON; the default of the server is one.
    const broker = { config: 'max_payload: 8MB' }
    pipeline = await openPipeline({ models: join(folder, 'models'), broker })
    const refused = await serveAll(pipeline, cases.length)
    return { pipeline, cases, refused, ...(await runBare(cases)), close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

/** Starts a worker and waits until it has looked at so many models. @returns why it does not serve some, by name */
async function serveAll(pipeline: Pipeline, count: number): Promise<ReadonlyMap<string, string>> {
  const worker = await pipeline.startWorker()
  const refused = new Map<string, string>()
  /** How many models are served, or refused. */
  const lookedAt = (): number => {
    for (const { level, model, msg } of worker.log)
      if (level === 'error' && typeof model === 'string') refused.set(model, String(msg))
    const serving = worker.log.findLast(({ msg }) => msg === 'serving')
    return refused.size + Number(serving?.served ?? 0)
  }
  // An event of a model that is not looked at yet waits for it, longer each time.
  const limits = { limitMs: 1_500_000, seen: lookedAt }
  await eventually('every model to be looked at', () => lookedAt() === count, limits)
  return refused
}

async function runBare(cases: readonly OperatorCase[]): Promise<Pick<OperatorStage, 'trials' | 'notRun'>> {
  const bareRuntime = await startBareRuntime()
  const trials: OperatorTrial[] = []
  const notRun = new Map<string, string[]>()
  for (const operator of cases) {
    const bare = await bareRuntime.run({ path: operator.path, inputs: inputsOf(operator) })
    if (bare.kind === 'ran') {
      trials.push({ operator, bare })
      continue
    }
    const reason = `${bare.kind}: ${shorten(bare.reason)}`
    notRun.set(reason, [...(notRun.get(reason) ?? []), operator.name])
  }
  await bareRuntime.close()
  return { trials, notRun }
}

/** The tensors of a case that Pelton can be given. */
export function inputsOf({ inputs }: OperatorCase): readonly Tensor[] {
  return inputs.flatMap(({ tensor }) => tensor ?? [])
}

/** Whether the runtime gives the same answer twice: some operators draw random numbers. */
export function isSteady(bare: Ran): boolean {
  return difference(bare.again, bare.outputs) === undefined
}

/** What differs from the bare runtime; where numbers are drawn at random, of what does not depend on chance. */
export function unlikeBare(found: readonly Tensor[], bare: Ran): string | undefined {
  return isSteady(bare)
    ? difference(found, bare.outputs)
    : difference(found.map(emptied), bare.outputs.map(emptied))
}

function emptied(tensor: Tensor): Tensor {
  return { ...tensor, name: formOf(tensor), data: [] }
}

/** The part of a reason that several models share. */
export function shorten(reason: string): string {
  return reason
    .replace(/\s+/g, ' ')
    .replace(/(Load model from )\S+/, '$1…')
    .replace(/\/\S+\.(cc|h):\d+/g, '…')
    .slice(0, 160)
}
