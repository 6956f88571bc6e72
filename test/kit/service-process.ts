import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { type ProgramName, programArgs } from './program.ts'

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

/** A real service, as an operator would run it. */
export interface ServiceProcess {
  readonly pid: number
  readonly address: string
  readonly log: readonly Readonly<Record<string, unknown>>[]
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  kill(signal?: NodeJS.Signals): void
  /** Ends it with a signal, SIGTERM unless told, and resolves with how it ended. */
  end(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
}

/** Starts a service without waiting for anything; of the environment it has what is not Pelton's, and `env`. */
export function spawnService(program: ProgramName, env: NodeJS.ProcessEnv) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('PELTON_'))
  const child = spawn(process.execPath, programArgs(program), {
    env: { ...Object.fromEntries(own), ...env },
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
  const kill = (signal: NodeJS.Signals = 'SIGTERM'): void => void child.kill(signal)
  return { child, log, ended, until, kill }
}

/** Waits until a service says that it serves. @param headers of every call */
export async function serving(
  { child, log, ended, until, kill }: ReturnType<typeof spawnService>,
  headers: Readonly<Record<string, string>> = {},
): Promise<ServiceProcess> {
  const address = String((await until('serving')).address)
  return {
    pid: child.pid ?? 0,
    address,
    log,
    ended,
    kill,
    end(signal = 'SIGTERM') {
      kill(signal)
      return ended
    },
    call: (method, path, given = {}) =>
      call(`${address}${path}`, method, { ...given, headers: { ...headers, ...given.headers } }),
  }
}

async function call(url: string, method: string, { body, raw, headers }: CallOptions): Promise<Answer> {
  const type = raw?.type ?? (body === undefined ? undefined : 'application/json')
  const sent = raw?.text ?? (body === undefined ? undefined : JSON.stringify(body))
  const response = await fetch(url, {
    method,
    redirect: 'manual',
    headers: { ...(type !== undefined && { 'content-type': type }), ...headers },
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
