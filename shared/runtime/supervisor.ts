import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface SupervisorOptions {
  /** Module the processes run, and Node's arguments for it. */
  readonly entry: { readonly url: URL; readonly execArgv: readonly string[] }
  /** Environment of the process with this number, from 0. */
  readonly env: (index: number) => NodeJS.ProcessEnv
  /** Processes to keep running. */
  readonly count: number
  /** Gets each line a process writes to its standard output or error. */
  readonly onLine: (line: string, index: number) => void
  /** Told what the supervisor does: starts, restarts, crash loops. */
  readonly note: (text: string) => void
}

const FIRST_BACKOFF_MS = 200
const MAX_BACKOFF_MS = 10_000
/** A process that lived this long is taken as healthy again. */
const HEALTHY_MS = 30_000
const CRASH_LOOP = 4

interface Slot {
  readonly index: number
  child: ChildProcess | undefined
  crashes: number
  restart: NodeJS.Timeout | undefined
}

/**
 * Keeps processes running: one that ends is started again, with exponential backoff. They have a process group of
 * their own, so that Ctrl-C reaches only the supervisor, and they drain when it is gone (their channel closes).
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #slots: Slot[]
  #stopping = false

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#slots = Array.from({ length: options.count }, (_slot, index) => ({
      index,
      child: undefined,
      crashes: 0,
      restart: undefined,
    }))
    for (const slot of this.#slots) this.#start(slot)
  }

  /** Process ids of those that run. */
  get pids(): readonly number[] {
    return this.#slots.flatMap(({ child }) => (child?.pid === undefined ? [] : [child.pid]))
  }

  /** Asks every process to drain and waits for the last; a second call forces them. */
  async stop(): Promise<void> {
    const signal = this.#stopping ? 'SIGKILL' : 'SIGTERM'
    this.#stopping = true
    await Promise.all(this.#slots.map((slot) => stopSlot(slot, signal)))
  }

  #start(slot: Slot): void {
    const { entry, env, onLine } = this.#options
    const child = spawn(process.execPath, [...entry.execArgv, fileURLToPath(entry.url)], {
      env: env(slot.index),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    })
    slot.child = child
    const startedAt = performance.now()
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => onLine(line, slot.index))
    }
    child.once('error', (error) => onLine(error.message, slot.index))
    child.once('close', (code, signal) => this.#onExit(slot, describeExit(code, signal), performance.now() - startedAt))
  }

  #onExit(slot: Slot, how: string, livedMs: number): void {
    slot.child = undefined
    if (this.#stopping) return
    slot.crashes = livedMs > HEALTHY_MS ? 1 : slot.crashes + 1
    const delayMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (slot.crashes - 1))
    const loop = slot.crashes >= CRASH_LOOP ? ` It keeps ending (${slot.crashes} times): its last lines above say why.` : ''
    this.#options.note(`worker ${slot.index + 1} ended (${how}); starting it again in ${delayMs} ms.${loop}`)
    slot.restart = setTimeout(() => this.#start(slot), delayMs)
  }
}

async function stopSlot(slot: Slot, signal: NodeJS.Signals): Promise<void> {
  clearTimeout(slot.restart)
  const { child } = slot
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.kill(signal)
  })
}

function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`
}
