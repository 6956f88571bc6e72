import { createHash, randomBytes } from 'node:crypto'
import { type BigIntStats, constants } from 'node:fs'
import { chmod, copyFile, mkdir, open, readFile, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf, PeltonError } from '../sdk/errors.ts'
import {
  bytesIn,
  type CopiesOptions,
  moveIn,
  openPlace,
  sweep,
  whileLocked,
  writeWhole,
} from './copy-place.ts'
import { locationsOf } from './external-data.ts'
import { checkOwnFile, readDigest } from './model-file.ts'
import { seeModels } from './models-page.ts'
import { readOnnxFile } from './onnx-file.ts'

/** Which files of a version to look at, and where to copy them. */
export interface GatherRequest {
  /** Real path of the models folder: no file may lie outside. */
  readonly root: string
  /** Folder of the version. */
  readonly folder: string
  /** Undefined: the files are served where they are. */
  readonly copies?: CopiesOptions | undefined
}

/** The files of a version, whole and digested. */
export interface GatheredVersion {
  /** Of `model.onnx`; its external data lies beside it. */
  readonly path: string
  /** SHA-256, hex: of `model.onnx`, or of the names and digests of all files where there are several. */
  readonly digest: string
  /** Of all files. */
  readonly sizeBytes: number
}

/** A file of a version: its path below the folder, and the one it really has. */
interface SourceFile {
  readonly name: string
  readonly path: string
  readonly facts: BigIntStats
}

const MODEL_FILE = 'model.onnx'
/** A file that was written less than this before it was copied may have been written again unseen, milliseconds. */
const UNSURE_MS = 2_000
/** Files up to this size are read by whoever asks, and not by a process for it, bytes. */
const FEW_BYTES = 1_048_576n
/** Under want of room a copy that nobody uses goes sooner, milliseconds. */
const KEPT_WHEN_FULL_MS = 60_000

/**
 * The files of a version: `model.onnx` and its external data, checked and digested, copied once for all workers of a
 * machine where there is a place for it. The digest is that of the copy.
 *
 * @throws PeltonError `model-refused` for files that must not be served, `model-unavailable` for those that cannot be read
 *   or copied now, `invalid-configuration` for a place that cannot be used
 */
export async function gatherVersion({ root, folder, copies }: GatherRequest): Promise<GatheredVersion> {
  const files = await findFiles(root, folder)
  if (copies === undefined) {
    const [model] = files
    const { digest, sizeBytes } = await digestAll(files)
    return { path: model?.path ?? join(folder, MODEL_FILE), digest, sizeBytes }
  }
  await openPlace(copies.folder)
  const lock = lockOf(folder)
  return whileLocked(copies.folder, lock, async () => {
    const known = await findCopy(copies.folder, lock, files)
    return known ?? (await makeCopy(copies, lock, files))
  })
}

/**
 * The copy of a version that was made before, by this machine: of these very files, going by their inodes, sizes and times, or
 * of others with the same bytes where they are few. Undefined where that cannot be said: then somebody has to read them.
 */
export async function findGathered({
  root,
  folder,
  copies,
}: GatherRequest): Promise<GatheredVersion | undefined> {
  if (copies === undefined) return undefined
  const note = await readNote(join(copies.folder, 'sources', lockOf(folder)))
  try {
    const files = note?.isSure === true ? await filesNamed(root, folder, note) : []
    if (note !== undefined && files.length > 0 && isOf(note, files))
      return await useCopy(copies.folder, note.digest, note.sizeBytes)
    const { facts } = await sourceFile(root, folder, MODEL_FILE)
    if (facts.size > FEW_BYTES) return undefined
    const found = await findFiles(root, folder)
    if (found.some((file) => file.facts.size > FEW_BYTES)) return undefined
    const { digest, sizeBytes } = await digestAll(found)
    return await useCopy(copies.folder, digest, sizeBytes)
  } catch {
    return undefined // whoever copies them says what is wrong
  }
}

function filesNamed(root: string, folder: string, { files }: Note): Promise<SourceFile[]> {
  return Promise.all(Object.keys(files).map((name) => sourceFile(root, folder, name)))
}

/** Digest and size of a model that is served where it is, and of its external data. Throws as {@link gatherVersion}. */
export async function digestVersion(
  path: string,
): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const { digest, sizeBytes } = await readDigest(path)
  const names = locationsOf(readOnnxFile(path))
  if (names.length === 0) return { digest, sizeBytes }
  const beside = names.map((name) => ({ name, path: join(dirname(path), name) }))
  return digestAll([{ name: MODEL_FILE, path }, ...beside])
}

/** Names a version of a machine: its lock, and the note of its copy. */
const lockOf = (folder: string): string =>
  createHash('sha256').update(join(folder, MODEL_FILE)).digest('hex').slice(0, 32)

/** `model.onnx` first, then its external data, in order. */
async function findFiles(root: string, folder: string): Promise<SourceFile[]> {
  const model = await sourceFile(root, folder, MODEL_FILE)
  const files = [model]
  for (const name of locationsOf(readOnnxFile(model.path))) files.push(await sourceFile(root, folder, name))
  return files
}

async function sourceFile(root: string, folder: string, name: string): Promise<SourceFile> {
  const path = await checkOwnFile(root, join(folder, name))
  return { name, path, facts: await stat(path, { bigint: true }) }
}

/** Changes with everything a write to the file changes. */
function identityOf({ facts: { dev, ino, size, mtimeNs, ctimeNs } }: SourceFile): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}

async function digestAll(
  files: readonly { readonly name: string; readonly path: string }[],
): Promise<{ readonly digest: string; readonly sizeBytes: number }> {
  const read = []
  for (const { name, path } of files) read.push({ name, ...(await readDigest(path)) })
  const sizeBytes = read.reduce((total, file) => total + file.sizeBytes, 0)
  const [first] = read
  if (read.length === 1 && first !== undefined) return { digest: first.digest, sizeBytes }
  const hash = createHash('sha256')
  for (const { name, digest } of read) hash.update(`${digest}  ${name}\n`)
  return { digest: hash.digest('hex'), sizeBytes }
}

/** What is noted of files that were copied: whoever finds them the same finds their copy. */
interface Note {
  readonly files: Readonly<Record<string, string>>
  readonly digest: string
  readonly sizeBytes: number
  /** Whether nothing can have been written since that would not show. */
  readonly isSure: boolean
}

const filesOf = (files: readonly SourceFile[]): Readonly<Record<string, string>> =>
  Object.fromEntries(files.map((file) => [file.name, identityOf(file)]))

/** Whether a copy was made of these very files. */
const isOf = (note: Note, files: readonly SourceFile[]): boolean =>
  JSON.stringify(note.files) === JSON.stringify(filesOf(files))

const copyPath = (place: string, digest: string): string => join(place, 'copies', digest)

async function findCopy(
  place: string,
  lock: string,
  files: readonly SourceFile[],
): Promise<GatheredVersion | undefined> {
  const note = await readNote(join(place, 'sources', lock))
  if (note === undefined || !isOf(note, files)) return undefined
  if (!note.isSure && (await digestAll(files)).digest !== note.digest) return undefined
  return useCopy(place, note.digest, note.sizeBytes)
}

/** A copy that is there, kept from being swept until its user has said so. */
async function useCopy(
  place: string,
  digest: string,
  sizeBytes: number,
): Promise<GatheredVersion | undefined> {
  const folder = copyPath(place, digest)
  const now = new Date()
  const isThere = await utimes(folder, now, now).then(
    () => true,
    () => false,
  )
  return isThere ? { path: join(folder, MODEL_FILE), digest, sizeBytes } : undefined
}

async function readNote(path: string): Promise<Note | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Note // our own, in a folder of our own
  } catch {
    return undefined
  }
}

async function makeCopy(
  { folder: place, maxBytes }: CopiesOptions,
  lock: string,
  files: readonly SourceFile[],
): Promise<GatheredVersion> {
  const planned = files.reduce((total, { facts }) => total + Number(facts.size), 0)
  const making = join(place, 'making', `${planned}-${lock}-${randomBytes(4).toString('hex')}`)
  await mkdir(making, { mode: 0o700 })
  try {
    await requireRoom(place, maxBytes, planned)
    for (const file of files) await copyWhole(file, join(making, file.name))
    await requireSame(making, files)
    const copied = files.map(({ name }) => ({ name, path: join(making, name) }))
    const { digest, sizeBytes } = await digestAll(copied)
    await moveIn(making, copyPath(place, digest))
    const isSure = files.every(({ facts }) => Date.now() - Number(facts.ctimeNs / 1_000_000n) > UNSURE_MS)
    const note: Note = { files: filesOf(files), digest, sizeBytes, isSure }
    await writeWhole(join(place, 'sources', lock), JSON.stringify(note))
    const found = await useCopy(place, digest, sizeBytes)
    if (found !== undefined) return found
    throw new PeltonError('model-unavailable', 'the copy of the model was removed as soon as it was made', {
      field: 'PELTON_COPIES',
      value: place,
      remedy: 'Keep what clears this folder from doing so.',
    })
  } catch (thrown) {
    throw thrown instanceof PeltonError ? thrown : cannotCopy(place, thrown)
  } finally {
    await rm(making, { recursive: true, force: true })
  }
}

async function requireRoom(place: string, maxBytes: number, planned: number): Promise<void> {
  if ((await bytesIn(place)) <= maxBytes) return
  await sweep(place, KEPT_WHEN_FULL_MS)
  const total = await bytesIn(place)
  if (total <= maxBytes) return
  throw new PeltonError('model-unavailable', `there is no room for a copy of ${planned} bytes`, {
    field: 'PELTON_COPIES_MAX_BYTES',
    value: `${maxBytes}, ${total - planned} are used`,
    remedy: 'Raise it, or serve fewer models on this machine.',
  })
}

/** A copy on the disk, whole, that nobody writes; it shares its blocks with the file where the file system can. */
async function copyWhole({ path }: SourceFile, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  await copyFile(path, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
  const file = await open(target, 'r+')
  await file.sync().finally(() => file.close())
  await chmod(target, 0o400)
}

/** The files were not written meanwhile, and the copy names the same external data. */
async function requireSame(making: string, files: readonly SourceFile[]): Promise<void> {
  const before = files.slice(1).map(({ name }) => name)
  const after = locationsOf(readOnnxFile(join(making, MODEL_FILE)))
  let isSame = JSON.stringify(before) === JSON.stringify(after)
  for (const file of files) {
    const facts = await stat(file.path, { bigint: true }).catch(() => undefined)
    if (facts === undefined || identityOf({ ...file, facts }) !== identityOf(file)) isSame = false
  }
  if (isSame) return
  throw new PeltonError('model-unavailable', 'the files of the model changed while they were copied', {
    remedy: `Put a new model into a new version folder, under another name first. ${seeModels('folder')}`,
  })
}

function cannotCopy(place: string, cause: unknown): PeltonError {
  const why = messageOf(cause)
  const details = {
    field: 'PELTON_COPIES',
    value: place,
    remedy: 'Check the disk and the rights of the folder.',
  }
  return new PeltonError('model-unavailable', `the model cannot be copied: ${why}`, details, cause)
}
