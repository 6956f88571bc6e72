import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, realpath, stat } from 'node:fs/promises'
import { relative, sep } from 'node:path'
import { PeltonError } from '../sdk/errors.ts'
import { seeModels } from './models-page.ts'

/** SHA-256 (hex) and size of a file, read once from start to end. */
export async function readDigest(path: string): Promise<{ digest: string; sizeBytes: number }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
      hash.update(chunk as Buffer) // a stream without encoding gives buffers
      sizeBytes += (chunk as Buffer).length
    }
  } catch (cause) {
    throw unreadable(path, cause)
  }
  return { digest: hash.digest('hex'), sizeBytes }
}

/**
 * The real path of a file of the repository, given its real root. Throws `model-unavailable` for a file that is missing or
 * cannot be reached, `model-refused` for one that is no plain file, lies outside the root when symlinks are followed, or
 * has another hard link (which could be anywhere).
 */
export async function checkOwnFile(
  root: string,
  path: string,
  shown = relative(root, path),
): Promise<string> {
  const real = await realpath(path).catch((cause: unknown) => {
    if (Object(cause).code !== 'ENOENT') throw unreadable(shown, cause)
    const remedy = `Put the file there; a model is <name>/<version>/model.onnx. ${seeModels('folder')}`
    throw new PeltonError(
      'model-unavailable',
      'there is no such file',
      { field: 'path', value: shown, remedy },
      cause,
    )
  })
  if (!isInside(root, real)) {
    throw refuse(
      'the file is a link that leaves the models folder',
      shown,
      'Copy the file itself into the folder.',
    )
  }
  const facts = await stat(real)
  if (!facts.isFile()) {
    const kind = facts.isDirectory() ? 'a folder' : 'no plain file'
    throw refuse(`this is ${kind}`, shown, 'Put the model there as one plain file.')
  }
  if (facts.nlink > 1) {
    throw refuse('the file has more than one hard link', shown, 'Copy it, so that it has no other name.')
  }
  return real
}

/** Whether something with this name exists, also a broken link. */
export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}

function isInside(root: string, path: string): boolean {
  return path.startsWith(root.endsWith(sep) ? root : root + sep)
}

function refuse(problem: string, path: string, remedy: string): PeltonError {
  const details = { field: 'path', value: path, remedy: `${remedy} ${seeModels('folder')}` }
  return new PeltonError('model-refused', problem, details)
}

function unreadable(path: string, cause: unknown): PeltonError {
  const remedy = `Check that it exists and that Pelton may read it. ${seeModels('folder')}`
  return new PeltonError(
    'model-unavailable',
    'the file cannot be read',
    { field: 'path', value: path, remedy },
    cause,
  )
}
