import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { messageOf } from '../../sdk/errors.ts'
import type { FeatureMarks } from './marks.ts'

/** How far one FEATURES had come, kept outside of its broker: a broker that loses its latest writes loses none of it. */
export interface DurableMarks {
  readonly features: FeatureMarks
  /** Creation time of the LEDGER beside it: by it a FEATURES that was made anew is known to be of the same broker. */
  readonly ledger: string
}

/** What lies in a folder of durable marks: one file for each FEATURES that ever was. */
export interface MarksFolder {
  readonly marks: readonly DurableMarks[]
  /** Files that cannot be read, and why. */
  readonly damaged: readonly string[]
}

/** Set aside because it could not be read: evidence, until a person removes it. */
const DAMAGED = '.damaged'
const NAME = /^features-.+\.json(?:\.damaged)?$/
const TEMPORARY = '.temporary'
/** No writer takes so long: older files are of processes that ended while they wrote. */
const LEFT_MS = 60_000

const count = z.number().int().nonnegative()
const WIRE = z.object({
  v: z.literal(1),
  epoch: z.string().min(1),
  marks: z.array(z.tuple([count, count])).min(1),
  ledger: z.string(),
})

/**
 * Reads all marks of a folder. What cannot be read is named, never left out; a folder that does not exist has none.
 */
export async function readMarksFolder(folder: string): Promise<MarksFolder> {
  const marks: DurableMarks[] = []
  const damaged: string[] = []
  for (const name of await namesIn(folder, damaged)) {
    const path = join(folder, name)
    try {
      if (name.endsWith(DAMAGED)) throw new Error('it was set aside')
      marks.push(decodeMarks(await readFile(path)))
    } catch (thrown) {
      if (!isMissing(thrown)) damaged.push(`${path}: ${messageOf(thrown)}`)
    }
  }
  return { marks, damaged }
}

async function namesIn(folder: string, damaged: string[]): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => NAME.test(name)).sort()
  } catch (thrown) {
    if (!isMissing(thrown)) damaged.push(`${folder}: ${messageOf(thrown)}`)
    return []
  }
}

/**
 * The marks of one FEATURES as they were written last; undefined where there are none. A file that cannot be read is set
 * aside first.
 *
 * @throws the system's error where the folder cannot be read
 */
export async function readMarksOf(folder: string, epoch: string): Promise<DurableMarks | undefined> {
  const path = join(folder, nameOf(epoch))
  const bytes = await readFile(path).catch((thrown: unknown) => {
    if (isMissing(thrown)) return undefined
    throw thrown
  })
  if (bytes === undefined) return undefined
  try {
    return decodeMarks(bytes)
  } catch {
    await rename(path, `${path}${DAMAGED}`)
    return undefined
  }
}

/** Writes the marks of one FEATURES: on disk, whole and synced, once it resolves. @throws the system's error */
export async function writeMarks(folder: string, marks: DurableMarks): Promise<void> {
  await mkdir(folder, { recursive: true })
  const path = join(folder, nameOf(marks.features.epoch))
  const temporary = `${path}.${randomUUID()}${TEMPORARY}`
  try {
    const file = await open(temporary, 'w', 0o644)
    await file
      .writeFile(encodeMarks(marks))
      .then(() => file.sync())
      .finally(() => file.close())
    await rename(temporary, path)
  } catch (thrown) {
    await rm(temporary, { force: true })
    throw thrown
  }
  const entries = await open(folder, 'r')
  await entries.sync().finally(() => entries.close())
}

/** Removes what writers left that were killed. @throws the system's error */
export async function removeLeftTemporaries(folder: string): Promise<void> {
  const names = await readdir(folder).catch((thrown: unknown) => {
    if (isMissing(thrown)) return []
    throw thrown
  })
  for (const name of names) {
    if (!name.endsWith(TEMPORARY)) continue
    const path = join(folder, name)
    const writtenAt = (await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now()
    if (Date.now() - writtenAt > LEFT_MS) await rm(path, { force: true })
  }
}

/** Readable, and the same for nobody else: the creation time has nanoseconds. */
function nameOf(epoch: string): string {
  return `features-${epoch.replace(/[^0-9A-Za-z.-]/g, '_')}.json`
}

/** As bytes: a line of JSON, and its SHA-256. */
function encodeMarks({ features: { epoch, marks }, ledger }: DurableMarks): string {
  const text = JSON.stringify({ v: 1, epoch, marks, ledger })
  return `${text}\n${digestOf(text)}\n`
}

/** @throws for bytes that are no marks, or not whole */
export function decodeMarks(bytes: Uint8Array): DurableMarks {
  const [text = '', digest, ...rest] = Buffer.from(bytes).toString('utf8').split('\n')
  if (digest !== digestOf(text) || rest.join('') !== '') throw new Error('it is not as it was written')
  const read = WIRE.safeParse(JSON.parse(text))
  if (!read.success) throw new Error('another version of Pelton wrote it')
  const { epoch, marks, ledger } = read.data
  return { features: { epoch, marks }, ledger }
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function isMissing(thrown: unknown): boolean {
  return (thrown as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
}
