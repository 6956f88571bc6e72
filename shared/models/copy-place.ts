import { randomBytes } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PeltonError } from '../sdk/errors.ts'

/** Where private copies of models lie: one place for all workers of a machine. */
export interface CopiesOptions {
  readonly folder: string
  /** Bytes all copies together may have. */
  readonly maxBytes: number
}

/** What is in a place: `copies/<digest>/`, `verdicts/<digest>/`, `making/<bytes>-…/`, `sources/`, `users/`, `locks/`. */
export type PlaceFolder = 'copies' | 'verdicts' | 'making' | 'sources' | 'users' | 'locks'
const FOLDERS: readonly PlaceFolder[] = ['copies', 'verdicts', 'making', 'sources', 'users', 'locks']

/** A lock or a user that has not touched its file for this long is gone, milliseconds. */
const GONE_MS = 60_000
const TOUCH_MS = 5_000
/** A copy that nobody uses is kept this long, for a worker that starts again. */
const KEPT_MS = 3_600_000

/** Makes the place, or checks that it is ours alone. @throws PeltonError `invalid-configuration` */
export async function openPlace(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const facts = await lstat(folder)
    if (!facts.isDirectory()) throw unusable(folder, 'it is no folder')
    if (process.getuid !== undefined && facts.uid !== process.getuid())
      throw unusable(folder, 'it belongs to another user')
    await chmod(folder, 0o700)
    for (const name of FOLDERS) await mkdir(join(folder, name), { recursive: true, mode: 0o700 })
  } catch (thrown) {
    if (thrown instanceof PeltonError) throw thrown
    throw unusable(folder, (thrown as Error).message, thrown)
  }
}

function unusable(folder: string, why: string, cause?: unknown): PeltonError {
  return new PeltonError(
    'invalid-configuration',
    `copies of models cannot be kept there: ${why}`,
    { field: 'PELTON_COPIES', value: folder, remedy: 'Name a folder that this user alone may write.' },
    cause,
  )
}

/** Does something while nobody else of this machine does it under the same name. Waits for its turn. */
export async function whileLocked<Result>(
  folder: string,
  name: string,
  act: () => Promise<Result>,
): Promise<Result> {
  const path = join(folder, 'locks', name)
  while (!(await take(path))) {
    // Whoever was killed while it held the lock touches it no more.
    if (await isGone(path)) await rm(path, { force: true })
    else await sleep(50)
  }
  const stop = keepTouched(path)
  try {
    return await act()
  } finally {
    stop()
    await rm(path, { force: true })
  }
}

function take(path: string): Promise<boolean> {
  return writeFile(path, String(process.pid), { flag: 'wx', mode: 0o600 }).then(
    () => true,
    (thrown: NodeJS.ErrnoException) => {
      if (thrown.code === 'EEXIST') return false
      throw thrown
    },
  )
}

/** Touches a file now and then: as long as it is, whoever it stands for is alive. */
export function keepTouched(path: string): () => void {
  const timer = setInterval(() => {
    const now = new Date()
    void utimes(path, now, now).catch(() => undefined)
  }, TOUCH_MS)
  timer.unref()
  return () => clearInterval(timer)
}

async function isGone(path: string): Promise<boolean> {
  const age = await ageMs(path)
  return age !== undefined && age > GONE_MS
}

/** Since something was touched, milliseconds; undefined where it is not there. */
async function ageMs(path: string): Promise<number | undefined> {
  const facts = await stat(path).catch(() => undefined)
  return facts && Date.now() - facts.mtimeMs
}

async function namesIn(folder: string, name: PlaceFolder): Promise<string[]> {
  return readdir(join(folder, name)).catch(() => [])
}

/** What is used by whom: a file for each process, with the digests of the copies it may open at any time. */
export class CopyUse {
  readonly #folder: string
  readonly #path: string
  readonly #digests = new Set<string>()
  #stop: (() => void) | undefined
  #last: Promise<void> = Promise.resolve()

  constructor(folder: string) {
    this.#folder = folder
    this.#path = join(folder, 'users', `${process.pid}-${randomBytes(6).toString('hex')}`)
  }

  /** From here on this copy is not removed. @throws where the place cannot be written */
  async add(digest: string): Promise<void> {
    this.#digests.add(digest)
    // One write after the other: each is of all digests, and the file is renamed into its place.
    const written = this.#last.then(() => this.#write())
    this.#last = written.catch(() => undefined)
    await written
    this.#stop ??= keepTouched(this.#path)
  }

  /** Removes copies that nobody has used for an hour. */
  async sweep(): Promise<void> {
    await sweep(this.#folder, KEPT_MS)
  }

  async close(): Promise<void> {
    this.#stop?.()
    await rm(this.#path, { force: true }).catch(() => undefined)
  }

  async #write(): Promise<void> {
    await writeWhole(this.#path, JSON.stringify([...this.#digests]))
  }
}

async function usedDigests(folder: string): Promise<ReadonlySet<string>> {
  const used = new Set<string>()
  for (const name of await namesIn(folder, 'users')) {
    const path = join(folder, 'users', name)
    const text = await readFile(path, 'utf8').catch(() => '[]')
    if (await isGone(path)) await rm(path, { force: true })
    else for (const digest of parseDigests(text)) used.add(digest)
  }
  return used
}

function parseDigests(text: string): readonly string[] {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
  } catch {
    return [] // written this moment; its owner renames whole files
  }
}

/**
 * Removes copies that nobody uses and nobody has used for `keptMs`, and what a process that was killed left half made. A
 * copy that is taken into use meanwhile is put back.
 */
export async function sweep(folder: string, keptMs: number): Promise<void> {
  for (const name of await namesIn(folder, 'making')) {
    const path = join(folder, 'making', name)
    const lock = name.split('-')[1] ?? ''
    const isMade = (await ageMs(join(folder, 'locks', lock))) !== undefined
    if (!isMade && (await isGone(path))) await rm(path, { recursive: true, force: true })
  }
  const used = await usedDigests(folder)
  for (const digest of await namesIn(folder, 'copies')) {
    const path = join(folder, 'copies', digest)
    if (used.has(digest) || ((await ageMs(path)) ?? 0) <= keptMs) continue
    const aside = join(folder, 'making', `0-gone-${randomBytes(6).toString('hex')}`)
    await rename(path, aside).catch(() => undefined)
    const isUsed = (await usedDigests(folder)).has(digest)
    if (isUsed && (await moveIn(aside, path))) continue
    await rm(aside, { recursive: true, force: true })
  }
  const kept = new Set(await namesIn(folder, 'copies'))
  for (const digest of await namesIn(folder, 'verdicts'))
    if (!kept.has(digest)) await rm(join(folder, 'verdicts', digest), { recursive: true, force: true })
}

/** Writes a file that whoever reads it finds as it was or as it is, whatever ends this process. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(4).toString('hex')}`
  await writeFile(temporary, text, { mode: 0o600 })
  await rename(temporary, path)
}

/** Gives a made copy its name. @returns false where another process was faster */
export async function moveIn(made: string, path: string): Promise<boolean> {
  try {
    await rename(made, path)
    return true
  } catch (thrown) {
    const { code = '' } = thrown as NodeJS.ErrnoException
    if (['ENOTEMPTY', 'EEXIST'].includes(code)) return false
    throw thrown
  }
}

/** Bytes of copies that were counted once: a copy never changes, and of thousands each new one would count all of them again. */
const counted = new Map<string, number>()

/** Bytes of all copies, and of what is made now. */
export async function bytesIn(folder: string): Promise<number> {
  let total = 0
  for (const digest of await namesIn(folder, 'copies'))
    total += await bytesOfCopy(join(folder, 'copies', digest))
  for (const name of await namesIn(folder, 'making')) total += Number.parseInt(name, 10) || 0
  return total
}

async function bytesOfCopy(path: string): Promise<number> {
  const known = counted.get(path)
  if (known !== undefined) return known
  try {
    const bytes = await bytesBelow(path)
    counted.set(path, bytes)
    return bytes
  } catch {
    return 0 // it is being removed
  }
}

async function bytesBelow(path: string): Promise<number> {
  let total = 0
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name))).size
  return total
}
