import { execFile } from 'node:child_process'

export interface CommandOptions {
  /** Environment of the child, and whose `PATH` finds `program`. */
  readonly env: NodeJS.ProcessEnv
  readonly cwd?: string
  /** The child is killed after this long. */
  readonly timeoutMs: number
}

/**
 * Runs a program to its end without a shell and returns what it wrote to standard output.
 * Throws an Error whose message is one line: the program and why it failed.
 */
export function runCommand(
  program: string,
  args: readonly string[],
  { env, cwd, timeoutMs }: CommandOptions,
): Promise<string> {
  const options = {
    env,
    ...(cwd === undefined ? {} : { cwd }),
    timeout: timeoutMs,
    maxBuffer: 16 * 1024 * 1024,
  }
  return new Promise((resolve, reject) => {
    const child = execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const reason = error.killed === true ? `no end after ${timeoutMs / 1000} s` : reasonOf(error, stderr)
      reject(new Error(`${program} ${args[0] ?? ''} failed: ${reason}`, { cause: error }))
    })
    child.stdin?.end()
  })
}

function reasonOf(error: { readonly code?: string | number | null }, stderr: string): string {
  if (error.code === 'ENOENT') return 'no such program'
  const lines = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  // apt warns at length and then says on its E: lines what was wrong
  const errors = lines.filter((line) => line.startsWith('E:'))
  const said = (errors.length > 0 ? errors : lines.slice(-3)).join(' ')
  return said === '' ? `exit ${error.code ?? 'by a signal'}` : said
}
