import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../find.ts'

export interface Scratch {
  readonly dir: string
  remove(): Promise<void>
}

export async function createScratch(): Promise<Scratch> {
  const dir = await mkdtemp(join(tmpdir(), 'pelton-test-'))
  return { dir, remove: () => rm(dir, { recursive: true, force: true }) }
}

/** A program that answers `--version` like nats-server and can do nothing else. Returns its path. */
export async function writeVersionStandIn(folder: string, says: string): Promise<string> {
  return writeProgram(folder, 'nats-server', `echo '${says}'`)
}

export async function writeProgram(folder: string, name: string, script: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, name)
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return path
}

/** Fills a folder with links to these programs of this machine: a `PATH` that holds nothing else. */
export async function linkPrograms(folder: string, programs: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const program of programs) {
    const path = await findProgram(program, process.env)
    if (path === undefined) throw new Error(`this test needs ${program}`)
    await symlink(path, join(folder, program))
  }
}
