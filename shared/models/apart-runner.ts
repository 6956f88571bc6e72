import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { ApartProcess } from './apart-process-handle.ts'
import { toUnavailable } from './open-model.ts'
import { disableRuntimeTelemetry } from './session.ts'
import { fileOf, type ModelFile } from './thread-messages.ts'
import type { AnswerBound } from './withheld.ts'

/** Processes that stay while their models have nothing to do. */
const MAX_PROCESSES = 2

/** How long opening a model in its process may take, milliseconds: it was opened before, to be inspected. */
const OPEN_LIMIT_MS = 60_000

export interface ApartRunOptions {
  readonly outputNames?: readonly string[]
  /** Outputs that no answer could hold come without their values. @default all come whole */
  readonly bound?: AnswerBound
  /** How long the run may take, milliseconds. */
  readonly timeoutMs: number
  /** What a run beyond that rejects with. */
  readonly onTimeout: () => PeltonError
}

/** Runs models that may never return, each in a process of its own, one run at a time: only killing a process ends a run. */
export interface ApartRunner {
  /**
   * Runs a model in its process, behind its other runs; the inputs stay usable. A run beyond its time kills its process
   * alone, and rejects with what `onTimeout` gives. Other rejections: `inference-failed` (the run failed, its process ended),
   * `model-unavailable` (the model cannot be opened, or no process for it: no fault of an event), `closed`.
   */
  run(model: ModelFile, inputs: readonly Tensor[], options: ApartRunOptions): Promise<readonly Tensor[]>
  /** Process ids of the processes that live. */
  readonly pids: readonly number[]
  /** Kills all processes, whatever they do. May be called twice. */
  close(): Promise<void>
}

export function createApartRunner(): ApartRunner {
  disableRuntimeTelemetry()
  /** By key of the model, the one used least recently first. */
  const processes = new Map<string, ApartProcess>()
  /** By key of the model, the last run that was asked for. */
  const turns = new Map<string, Promise<void>>()
  let isClosed = false

  /** The process of a model; where there are enough, one that has nothing to do makes room. */
  async function processOf(model: ModelFile): Promise<ApartProcess> {
    const known = processes.get(model.key)
    processes.delete(model.key)
    if (known?.isAlive === true) {
      processes.set(model.key, known)
      return known
    }
    const idle = [...processes].find(([key]) => !turns.has(key))
    if (idle !== undefined && processes.size >= MAX_PROCESSES) {
      processes.delete(idle[0])
      await idle[1].kill()
    }
    const started = new ApartProcess()
    processes.set(model.key, started)
    return await openIn(started, model)
  }

  async function runNow(
    model: ModelFile,
    inputs: readonly Tensor[],
    { outputNames, bound, timeoutMs, onTimeout }: ApartRunOptions,
  ): Promise<readonly Tensor[]> {
    if (isClosed) throw new PeltonError('closed', 'models that run apart are closed')
    const more = { ...(outputNames !== undefined && { outputNames }), ...(bound !== undefined && { bound }) }
    const child = await processOf(model)
    return await child.ask({ kind: 'run', model: fileOf(model), inputs, ...more }, timeoutMs, onTimeout)
  }

  return {
    run(model, inputs, options) {
      const ran = (turns.get(model.key) ?? Promise.resolve()).then(() => runNow(model, inputs, options))
      const turn = ran.then(ignore, ignore).then(() => {
        if (turns.get(model.key) === turn) turns.delete(model.key)
      })
      turns.set(model.key, turn)
      return ran
    },
    get pids() {
      return [...processes.values()].flatMap(({ pid, isAlive }) =>
        isAlive && pid !== undefined ? [pid] : [],
      )
    },
    async close() {
      isClosed = true
      await Promise.all([...processes.values()].map((child) => child.kill()))
    },
  }
}

/** Where the model cannot be opened its next run tries in another process, with the time that opening may take. */
async function openIn(child: ApartProcess, model: ModelFile): Promise<ApartProcess> {
  try {
    await child.ask({ kind: 'load', model: fileOf(model) }, OPEN_LIMIT_MS, notOpened)
    return child
  } catch (thrown) {
    await child.kill()
    throw toUnavailable(thrown)
  }
}

function ignore(): void {}

function notOpened(): PeltonError {
  return new PeltonError('model-unavailable', `opening the model took longer than ${OPEN_LIMIT_MS / 1_000} s`)
}
