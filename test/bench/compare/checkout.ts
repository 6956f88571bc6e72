import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { provision } from '../../../shared/sdk/jetstream/provision.ts'
import type { SideName } from './figures.ts'

/** One of the two things that are compared, compiled. */
export interface Side {
  readonly name: SideName
  /** What it is, for people: reference, commit, whether anything is not committed. */
  readonly label: string
  /** Compiled entry of its worker. */
  readonly program: string
  /** Its own: streams and consumers are part of what is compared. */
  readonly provision: typeof provision
}

export interface Workshop {
  /** Folder for everything that is made; who made it removes it. */
  readonly folder: string
  readonly note: (text: string) => void
  readonly signal: AbortSignal
}

/** The checkout that runs the bench. */
export const HERE = resolve(fileURLToPath(new URL('../../..', import.meta.url)))

/**
 * Compiles a checkout into a folder of the workshop. Nothing is written into the checkout.
 *
 * @param given a folder with a checkout and its packages, or a git reference of this repository
 * @throws Error that says what is wrong with it
 */
export async function prepareSide(name: SideName, given: string, workshop: Workshop): Promise<Side> {
  // npm changes to the root of the checkout, and says where it was called.
  const folder = resolve(process.env.INIT_CWD ?? '.', given)
  const isFolder = existsSync(join(folder, 'package.json'))
  const root = isFolder ? folder : await extract(name, given, workshop)
  if (!existsSync(join(root, 'node_modules')))
    throw new Error(`${root} has no packages: run \`npm ci\` there first`)
  const shown = root === HERE ? 'this checkout' : given
  const label = `${shown} (${await (isFolder ? describe(folder, workshop) : commitOf(given, workshop))})`
  workshop.note(`${name}: compiling ${label}`)
  const compiled = await compile(name, root, workshop)
  const program = join(compiled, 'services/worker/main.js')
  const provisioning = join(compiled, 'shared/sdk/jetstream/provision.js')
  for (const file of [program, provisioning])
    if (!existsSync(file)) throw new Error(`${given} has no ${file.slice(compiled.length + 1)} once compiled`)
  // The function has had this place and this shape since there was a worker to compare.
  const { provision: own } = (await import(pathToFileURL(provisioning).href)) as {
    readonly provision: typeof provision
  }
  return { name, label, program, provision: own }
}

/** The files of a git reference, with packages: this checkout's where both lock files are equal, else its own. */
async function extract(name: SideName, reference: string, workshop: Workshop): Promise<string> {
  const commit = await commitOf(reference, workshop)
  const root = join(workshop.folder, name)
  const archive = `${root}.tar`
  await mkdir(root)
  await run(workshop, 'git', ['-C', HERE, 'archive', '--format=tar', `--output=${archive}`, commit])
  await run(workshop, 'tar', ['-xf', archive, '-C', root])
  await rm(archive)
  const [own, its] = await Promise.all(
    [HERE, root].map((each) => readFile(join(each, 'package-lock.json'), 'utf8')),
  )
  if (own === its) await symlink(join(HERE, 'node_modules'), join(root, 'node_modules'), 'dir')
  else {
    workshop.note(`${name}: its package-lock.json differs, installing its packages`)
    await run(workshop, 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], root)
  }
  return root
}

async function commitOf(reference: string, workshop: Workshop): Promise<string> {
  const args = ['-C', HERE, 'rev-parse', '--verify', '--quiet', '--short', `${reference}^{commit}`]
  return run(workshop, 'git', args).catch(() => {
    throw new Error(`${reference} is neither a folder with a checkout nor a git reference of ${HERE}`)
  })
}

async function describe(folder: string, workshop: Workshop): Promise<string> {
  const git = (...args: string[]): Promise<string> =>
    run(workshop, 'git', ['-C', folder, ...args]).catch(() => '')
  const commit = await git('rev-parse', '--short', 'HEAD')
  const changes = await git('status', '--porcelain')
  return `${commit === '' ? 'no commit' : commit}${changes === '' ? '' : ', with changes'}`
}

/** The folder of what it compiles to, beside its `package.json` and a link to its packages. */
async function compile(name: SideName, root: string, workshop: Workshop): Promise<string> {
  const compiled = join(workshop.folder, `${name}-compiled`)
  await mkdir(compiled)
  const tsc = join(
    dirname(createRequire(join(root, 'package.json')).resolve('typescript/package.json')),
    'bin/tsc',
  )
  const args = [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', compiled]
  await run(workshop, process.execPath, args)
  await copyFile(join(root, 'package.json'), join(compiled, 'package.json'))
  await symlink(join(root, 'node_modules'), join(compiled, 'node_modules'), 'dir')
  return compiled
}

/**
 * Runs a program to its end and returns what it printed. When the workshop is told to stop, ends it and all that it
 * started (the compiler starts another), so that nothing writes into the folder that is about to go.
 */
async function run(
  { signal }: Workshop,
  program: string,
  args: readonly string[],
  cwd: string = HERE,
): Promise<string> {
  signal.throwIfAborted()
  const child = spawn(program, args, { cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const killAll = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // the last of its group has ended already
    }
  }
  signal.addEventListener('abort', killAll)
  try {
    const [printed, complaints, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ])
    signal.throwIfAborted()
    if (code !== 0) throw new Error(`${program} ${args[0] ?? ''} failed:\n${printed}${complaints}`)
    return printed.trim()
  } finally {
    signal.removeEventListener('abort', killAll)
  }
}
