import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

/** Programs and packages of what is no part of Pelton. */
const OUTSIDE = fileURLToPath(new URL('./outside', import.meta.url))
const FILES = ['package.json', 'package-lock.json']

/** Programs beside Pelton, with the packages they need. */
export interface InstalledPeers {
  /** Path of a program: `bullmq-process`. */
  program(name: string): string
  /** Version of a package that is installed. */
  version(name: string): Promise<string>
}

/**
 * Installs the packages of the lock file into the cache, once, and copies the programs beside them.
 *
 * @throws Error with what npm said
 */
export async function installPeers(cache: string, note: (text: string) => void): Promise<InstalledPeers> {
  const lock = await readFile(join(OUTSIDE, 'package-lock.json'))
  const folder = join(cache, `peers-${createHash('sha256').update(lock).digest('hex').slice(0, 12)}`)
  if (!existsSync(folder)) await install(cache, folder, note)
  await cp(OUTSIDE, folder, { recursive: true })
  return {
    program: (name) => join(folder, `${name}.mjs`),
    version: async (name) => {
      const manifest = await readFile(join(folder, 'node_modules', name, 'package.json'), 'utf8')
      return (JSON.parse(manifest) as { readonly version: string }).version
    },
  }
}

/** Works beside the place, so that a folder of this name is whole. */
async function install(cache: string, folder: string, note: (text: string) => void): Promise<void> {
  note('installing the packages of the peers')
  await mkdir(cache, { recursive: true })
  const workDir = await mkdtemp(join(cache, 'installing-'))
  try {
    for (const file of FILES) await cp(join(OUTSIDE, file), join(workDir, file))
    await npm(workDir, ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
    await rename(workDir, folder)
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}

async function npm(cwd: string, args: readonly string[]): Promise<void> {
  const child = spawn('npm', args, { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
  const [complaints, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
  if (code !== 0)
    throw new Error(`npm ci of the peers failed: ${complaints.trim().split('\n').slice(-2).join(' ')}`)
}
