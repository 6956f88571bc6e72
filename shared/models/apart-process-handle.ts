import type { ChildProcess } from 'node:child_process'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { startModelProcess } from './model-process.ts'
import { type FromThread, fromErrorMessage, type ThreadRequest } from './thread-messages.ts'

/** How long a process may take until it listens, milliseconds. */
const START_LIMIT_MS = 60_000

interface Pending {
  readonly resolve: (outputs: readonly Tensor[]) => void
  readonly reject: (error: PeltonError) => void
}

/** A process that runs one model, seen from the worker. It answers one request at a time. */
export class ApartProcess {
  readonly #child: ChildProcess
  readonly #ready: Promise<readonly Tensor[]>
  readonly #ended: Promise<void>
  #pending: Pending | undefined
  #isAlive = true
  /** Why it was killed, if it was. */
  #verdict: PeltonError | undefined

  constructor() {
    this.#child = startModelProcess(import.meta.url, 'apart-process')
    this.#child.on('message', (message: FromThread) => this.#onMessage(message))
    this.#ended = new Promise((resolve) => {
      const onEnd = (how: string): void => {
        this.#isAlive = false
        this.#settle()?.reject(this.#verdict ?? processEnded(how))
        resolve()
      }
      this.#child.once('error', (thrown) => onEnd(thrown.message))
      this.#child.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`))
    })
    this.#ready = this.#within(START_LIMIT_MS, notStarted, () => undefined)
    this.#ready.catch(() => undefined) // whoever asks is told
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  /**
   * The answer to a request. Rejects with `onTimeout()` when it does not come in `limitMs`: the process is killed then.
   * Rejects with `model-unavailable` when it did not start in time, with `inference-failed` when it ends first, or with what
   * the request failed for.
   */
  async ask(
    request: ThreadRequest,
    limitMs: number,
    onTimeout: () => PeltonError,
  ): Promise<readonly Tensor[]> {
    await this.#ready
    return await this.#within(limitMs, onTimeout, () => {
      this.#child.send({ ...request, id: 0 }, () => undefined) // an ended process is seen by its end
    })
  }

  /** Kills the process, whatever it does; resolves when it has ended. May be called twice. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  async #within(limitMs: number, onTimeout: () => PeltonError, send: () => void): Promise<readonly Tensor[]> {
    if (!this.#isAlive) throw this.#verdict ?? processEnded('it had ended before')
    const timer = setTimeout(() => {
      this.#verdict = onTimeout()
      this.#child.kill('SIGKILL')
    }, limitMs)
    try {
      return await new Promise((resolve, reject) => {
        this.#pending = { resolve, reject }
        send()
      })
    } finally {
      clearTimeout(timer)
    }
  }

  #onMessage(message: FromThread): void {
    const pending = this.#settle()
    if (message.kind === 'failed') pending?.reject(fromErrorMessage(message.error))
    else pending?.resolve(message.kind === 'done' ? message.outputs : [])
  }

  #settle(): Pending | undefined {
    const pending = this.#pending
    this.#pending = undefined
    return pending
  }
}

function processEnded(how: string): PeltonError {
  return new PeltonError('inference-failed', `the process of the model ended: ${how}`)
}

function notStarted(): PeltonError {
  return new PeltonError('model-unavailable', 'the process of the model did not start in time')
}
