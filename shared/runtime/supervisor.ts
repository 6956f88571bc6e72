import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { EXIT_CODES } from './lifecycle.ts'
import { describeLine, parseLogLine } from './log-line.ts'
import { decideRestart, HEALTHY_MS } from './restart.ts'

/** What is started, and how often it is started again. */
export interface SupervisorOptions {
  /** Module the processes run, and Node's arguments for it. */
  readonly entry: { readonly url: URL; readonly execArgv: readonly string[] }
  /** Environment of the process with this number, from 0. */
  readonly env: (index: number) => NodeJS.ProcessEnv
  /** Processes to keep running. */
  readonly count: number
  /** Gets each line a process writes to its standard output or error. */
  readonly onLine: (line: string, index: number) => void
  /** Told what the supervisor does: restarts, crash loops, processes it gives up. */
  readonly note: (text: string) => void
  /** Told each state a process reports over its channel: `ready`, say. */
  readonly onState?: (state: string, index: number) => void
  /** Told once when every process was given up, because none can use its settings. */
  readonly onGivenUp?: () => void
}

/** What a process says that is to be replaced by another while it still works. It is asked to stop once the other is ready. */
export interface ReplaceWord {
  readonly kind: 'replace'
  /** Why, for people. */
  readonly because: string
}

const CRASH_LOOP = 4
const MAX_LINE = 300
/** What stands below or around the words of a crash. */
const NO_WORDS = /^(?:\s*(?:at .*|[\^~}]*)|Node\.js v\S+)$/

interface Slot {
  readonly index: number
  child: ChildProcess | undefined
  /** Processes whose successor is on its way, or is there. */
  readonly leaving: Set<ChildProcess>
  crashes: number
  /** The last it said that people should read. */
  lastWords: string
  /** Whether it took work. */
  wasReady: boolean
  /** Whether it logged that it ends. */
  saidFatal: boolean
  /** The exit code it said it ends with, where a thread keeps it from exiting: it kills itself then. */
  saidCode: number | undefined
  isGivenUp: boolean
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
      leaving: new Set(),
      crashes: 0,
      lastWords: '',
      wasReady: false,
      saidFatal: false,
      saidCode: undefined,
      isGivenUp: false,
      restart: undefined,
    }))
    for (const slot of this.#slots) this.#start(slot)
  }

  /** Process ids of those that run. */
  get pids(): readonly number[] {
    const children = this.#slots.flatMap(({ child, leaving }) => (child ? [child, ...leaving] : [...leaving]))
    return children.flatMap(({ pid }) => pid ?? [])
  }

  /** Asks every process to drain and waits for the last; a second call forces them. */
  async stop(): Promise<void> {
    const signal = this.#stopping ? 'SIGKILL' : 'SIGTERM'
    this.#stopping = true
    await Promise.all(this.#slots.map((slot) => stopSlot(slot, signal)))
  }

  #start(slot: Slot): void {
    const { entry, env, onLine, onState } = this.#options
    const child = spawn(process.execPath, [...entry.execArgv, fileURLToPath(entry.url)], {
      env: env(slot.index),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    })
    slot.child = child
    slot.lastWords = ''
    slot.wasReady = false
    slot.saidFatal = false
    slot.saidCode = undefined
    const startedAt = performance.now()
    const hear = (line: string): void => {
      listen(slot, line)
      onLine(line, slot.index)
    }
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', hear)
    }
    child.on('message', (message) => {
      if (slot.child !== child) return // its successor has the word
      const { kind, state, code, because } = message as Readonly<Record<string, unknown>>
      if (kind === 'ending' && typeof code === 'number') slot.saidCode = code
      if (kind === 'replace' && !this.#stopping) this.#replace(slot, child, String(because))
      if (state === 'ready') {
        slot.wasReady = true
        for (const former of slot.leaving) former.kill('SIGTERM')
      }
      if (typeof state === 'string') onState?.(state, slot.index)
    })
    child.once('error', (error) => hear(error.message))
    child.once('close', (code, signal) => {
      if (!slot.leaving.delete(child)) this.#onExit(slot, code, signal, performance.now() - startedAt)
    })
  }

  /** Starts the successor of a process that works on until that is ready. */
  #replace(slot: Slot, child: ChildProcess, because: string): void {
    this.#options.note(`worker ${slot.index + 1} is replaced: ${because}`)
    slot.leaving.add(child)
    child.send({ kind: 'replacing' }, () => undefined) // where it has ended meanwhile, its successor starts all the same
    this.#start(slot)
  }

  #onExit(slot: Slot, code: number | null, signal: NodeJS.Signals | null, livedMs: number): void {
    slot.child = undefined
    if (this.#stopping) return
    const who = `worker ${slot.index + 1}`
    if (code === EXIT_CODES.usage) {
      this.#giveUp(slot, who)
      return
    }
    const { wasReady, saidFatal } = slot
    const saidSo = saidFatal || slot.saidCode !== undefined
    const restart = decideRestart(slot.crashes, { signal, livedMs, wasReady, saidSo })
    const { delayMs, fromOutside } = restart
    slot.crashes = restart.crashes
    const how = endedHow(slot.saidCode ?? code, slot.saidCode === undefined ? signal : null)
    this.#options.note(
      slot.crashes < CRASH_LOOP || fromOutside
        ? `${who} ${fromOutside ? 'was ended from outside' : 'ended'} (${how}); starting it again in ${delayMs} ms`
        : `${who} is in a crash loop: it ended ${slot.crashes} times in a row (${how}), each within ` +
            `${HEALTHY_MS / 1000} s of its start. The last it said: ${shown(slot.lastWords)}. ` +
            `Trying again in ${delayMs / 1000} s; Ctrl-C to stop.`,
    )
    slot.restart = setTimeout(() => this.#start(slot), delayMs)
  }

  /** Settings that cannot be used do not get better by trying again. */
  #giveUp(slot: Slot, who: string): void {
    slot.isGivenUp = true
    this.#options.note(`${who} cannot use its settings (see above) and is not started again`)
    if (this.#slots.every(({ isGivenUp }) => isGivenUp)) this.#options.onGivenUp?.()
  }
}

function endedHow(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `exit code ${code}` : `signal ${signal}`
}

/** Keeps what a line says about how its process ends. */
function listen(slot: Slot, line: string): void {
  if (parseLogLine(line)?.level === 'fatal') slot.saidFatal = true
  const words = describeLine(line)
  if (words !== undefined && !NO_WORDS.test(words)) slot.lastWords = words
}

function shown(line: string): string {
  if (line === '') return 'nothing'
  return line.length <= MAX_LINE ? line : `${line.slice(0, MAX_LINE - 1)}…`
}

async function stopSlot({ child, leaving, restart }: Slot, signal: NodeJS.Signals): Promise<void> {
  clearTimeout(restart)
  await Promise.all(
    [...(child === undefined ? [] : [child]), ...leaving].map((one) => stopChild(one, signal)),
  )
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.kill(signal)
  })
}
