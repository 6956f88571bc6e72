import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { finished } from 'node:stream/promises'
import { programArgs } from './program.ts'
import { eventually } from './wait.ts'

/** A real worker process, as an operator would run it. */
export interface WorkerProcess {
  readonly pid: number
  /** Its log so far, one parsed line each. */
  readonly log: readonly Readonly<Record<string, unknown>>[]
  /** What it told its supervisor so far. */
  readonly messages: readonly Readonly<Record<string, unknown>>[]
  /** Resolves with exit code or signal once it has ended and its log is read to the end. */
  readonly ended: Promise<number | NodeJS.Signals>
  kill(signal?: NodeJS.Signals): void
  /** Closes the channel, as the end of a supervisor does. */
  disconnect(): void
}

export interface WorkerProcessOptions {
  readonly url: string
  readonly models: string
  readonly env?: NodeJS.ProcessEnv
  /** Limits of the process, as options of the shell's `ulimit`: `-n 64`. Default: those of this process. */
  readonly ulimit?: string
  /** Run from source, also where the run has compiled it. @default false */
  readonly isFromSource?: boolean
  /** Arguments of `node` that start it: a worker of another checkout. Default: the worker of this one. */
  readonly program?: readonly string[]
}

/** Starts a worker and waits until it says that it is ready. Rejects with its log when it ends before. */
export async function startWorkerProcess(options: WorkerProcessOptions): Promise<WorkerProcess> {
  const worker = spawnWorkerProcess(options)
  await ready(worker)
  return worker
}

/** Starts a worker without waiting for anything. */
export function spawnWorkerProcess(options: WorkerProcessOptions): WorkerProcess {
  const program = options.program ?? programArgs('services/worker/main', options.isFromSource)
  const command = [process.execPath, ...program]
  // The shell becomes the worker: same process id, same channel.
  const limited = ['sh', '-c', `ulimit ${options.ulimit} && exec "$@"`, 'sh', ...command]
  const [executable = '', ...parameters] = options.ulimit === undefined ? command : limited
  const child = spawn(executable, parameters, {
    env: { ...process.env, PELTON_NATS_URL: options.url, PELTON_MODELS: options.models, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const log: Record<string, unknown>[] = []
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null)
  for (const stream of streams) {
    createInterface({ input: stream }).on('line', (line) => log.push(parseLine(line)))
  }
  const read = Promise.all(streams.map((stream) => finished(stream)))
  const messages: Record<string, unknown>[] = []
  child.on('message', (message) => messages.push(message as Record<string, unknown>))
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? code ?? 0))
  })
  const ended = exited.then(async (how) => {
    await read
    return how
  })
  return {
    pid: child.pid ?? 0,
    log,
    messages,
    ended,
    kill: (signal = 'SIGTERM') => void child.kill(signal),
    disconnect: () => child.disconnect(),
  }
}

/** Where a worker with `PELTON_HTTP_PORT` answers, `http://127.0.0.1:<port>`: waits until it says so. */
export function addressOf({ log }: Pick<WorkerProcess, 'log'>): Promise<string> {
  const look = (): string | undefined =>
    log.find(({ msg }) => msg === 'listening')?.address as string | undefined
  return eventually('a process to say where it listens', look, { seen: () => log })
}

/** Waits until a worker says that it is ready. Rejects with its log when it ends before. */
export async function ready({ messages, ended, log }: WorkerProcess): Promise<void> {
  let end: unknown
  void ended.then((how) => {
    end = how
  })
  const isSettled = (): boolean => end !== undefined || messages.some(({ state }) => state === 'ready')
  await eventually('the worker to be ready', isSettled, { limitMs: 300_000, everyMs: 10, seen: () => log })
  if (!messages.some(({ state }) => state === 'ready'))
    throw new Error(`the worker ended (${String(end)}) before it was ready:\n${JSON.stringify(log, null, 1)}`)
}

function parseLine(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return { text: line }
  }
}
