import { type ChildProcess, spawn } from 'node:child_process'
import { expect } from 'vitest'
import { programArgs } from '../kit/program.ts'
import { PATIENT } from '../kit/wait.ts'

/** A command that runs, as a person would run it. */
export interface CliProcess {
  readonly child: ChildProcess
  readonly out: () => string
  readonly err: () => string
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  /** Resolves once standard output or error contains `text`; rejects when it ended before. */
  until(text: string): Promise<void>
}

export interface CliOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly input?: string
  /** Limits of the process, as options of the shell's `ulimit`: `-f 8`. Default: those of this process. */
  readonly ulimit?: string
}

/** The environment of this process without settings of Pelton and of the npm that runs the tests. */
export function plainEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^PELTON_(?!NATS_SERVER|NATS_RELEASE)|^npm_|^INIT_CWD/.test(name),
    ),
  )
}

/** Starts `pelton …args` without any settings of this machine. */
export function startCli(args: readonly string[], { env, input, ulimit }: CliOptions = {}): CliProcess {
  const command = [process.execPath, ...programArgs('services/cli/main'), ...args]
  const limited = ['sh', '-c', `ulimit ${ulimit} && exec "$@"`, 'sh', ...command]
  const [program = '', ...parameters] = ulimit === undefined ? command : limited
  const child = spawn(program, parameters, {
    env: { ...plainEnv(), ...env },
    stdio: 'pipe',
  })
  let out = ''
  let err = ''
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const check of waiting) check()
  }
  child.stdout.on('data', (chunk) => {
    out += chunk
    wake()
  })
  child.stderr.on('data', (chunk) => {
    err += chunk
    wake()
  })
  child.stdin.on('error', () => undefined) // it may end before it has read everything
  if (input !== undefined) child.stdin.end(input)
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code ?? 0)),
  )
  const until = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (!out.includes(text) && !err.includes(text)) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
      void ended.then((how) => reject(new Error(`it ended (${how}) before it said ${text}:\n${out}${err}`)))
    })
  return { child, out: () => out, err: () => err, ended, until }
}

/** Runs `pelton …args` to its end. @throws what it has said, where it does not end in the time that any wait may take */
export async function runCli(args: readonly string[], options: CliOptions = {}) {
  const cli = startCli(args, { input: '', ...options })
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    cli.child.kill('SIGKILL')
  }, PATIENT.timeout)
  const code = await cli.ended
  clearTimeout(timer)
  if (isLate)
    throw new Error(`pelton ${args.join(' ')} did not end in time; it said:\n${cli.out()}${cli.err()}`)
  return {
    code,
    out: cli.out(),
    err: cli.err(),
    json: () =>
      cli
        .out()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
  }
}

/** Runs a command that ends with 0. @returns all it says */
export async function succeeds(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const { code, out, err } = await runCli(args, { env })
  expect(code, `${args.join(' ')}\n${out}${err}`).toBe(0)
  return out + err
}
