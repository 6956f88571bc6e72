import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Why these tests cannot run here; `undefined` where a container engine with compose answers. */
export function whyNoEngine(): string | undefined {
  const info = spawnSync('docker', ['info'], { encoding: 'utf8', timeout: 20_000 })
  if (info.error !== undefined) return `docker cannot be run: ${info.error.message}`
  if (info.status !== 0) return `no container engine answers: ${info.stderr.trim().split('\n').at(-1)}`
  const compose = spawnSync('docker', ['compose', 'version'], { encoding: 'utf8', timeout: 20_000 })
  return compose.status === 0 ? undefined : 'docker has no compose'
}

export interface Finished {
  readonly code: number
  /** Standard output and error as they came. */
  readonly text: string
}

/** Runs a program in the root of the repository to its end. */
export function run(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      text += chunk
    })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code: code ?? 1, text }))
  })
}
