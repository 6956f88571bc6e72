import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { programArgs } from '../kit/program.ts'

export const TOKEN = 'token-of-the-integration-tests'

/** What an answer is made of. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into answers of every shape
  readonly json: any
}

export interface CallOptions {
  readonly body?: unknown
  /** Sent as it is, with this content type. */
  readonly raw?: { readonly type: string; readonly text: string }
  readonly headers?: Readonly<Record<string, string>>
}

/** A real control service, as an operator would run it. */
export interface ControlProcess {
  readonly pid: number
  readonly address: string
  readonly log: readonly Readonly<Record<string, unknown>>[]
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  kill(signal?: NodeJS.Signals): void
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
}

export interface ControlProcessOptions {
  readonly url: string
  readonly dataDir: string
  readonly env?: NodeJS.ProcessEnv
}

/** Starts a control service without waiting for anything. */
export function spawnControl({ url, dataDir, env }: ControlProcessOptions) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('PELTON_'))
  const child = spawn(process.execPath, programArgs('services/control/main'), {
    env: {
      ...Object.fromEntries(own),
      PELTON_NATS_URL: url,
      PELTON_DATA: dataDir,
      PELTON_CONTROL_PORT: '0',
      PELTON_CONTROL_TOKEN: TOKEN,
      PELTON_WATCH_MS: '200',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log: Record<string, unknown>[] = []
  const waiting = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      log.push(parseLine(line))
      for (const check of waiting) check()
    })
  }
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code ?? 0)),
  )
  const until = (msg: string): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const entry = log.find((each) => each.msg === msg)
        if (entry === undefined) return
        waiting.delete(check)
        resolve(entry)
      }
      waiting.add(check)
      check()
      void ended.then((how) =>
        reject(new Error(`it ended (${how}) before ${msg}:\n${JSON.stringify(log, null, 1)}`)),
      )
    })
  return { child, log, ended, until }
}

/** Starts a control service and waits until its API answers. */
export async function startControl(options: ControlProcessOptions): Promise<ControlProcess> {
  const { child, log, ended, until } = spawnControl(options)
  const address = String((await until('serving')).address)
  return {
    pid: child.pid ?? 0,
    address,
    log,
    ended,
    kill: (signal = 'SIGTERM') => void child.kill(signal),
    call: (method, path, given = {}) => call(`${address}${path}`, method, given),
  }
}

async function call(url: string, method: string, { body, raw, headers }: CallOptions): Promise<Answer> {
  const type = raw?.type ?? (body === undefined ? undefined : 'application/json')
  const sent = raw?.text ?? (body === undefined ? undefined : JSON.stringify(body))
  const response = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(type !== undefined && { 'content-type': type }),
      ...headers,
    },
    ...(sent !== undefined && { body: sent }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: parse(text) }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function parseLine(line: string): Record<string, unknown> {
  return (parse(line) as Record<string, unknown> | undefined) ?? { text: line }
}
