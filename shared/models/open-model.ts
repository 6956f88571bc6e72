import { stat } from 'node:fs/promises'
import { PeltonError, toPeltonError } from '../sdk/errors.ts'
import { openSession } from './session.ts'
import type { OpenModel } from './session-cache.ts'
import type { ModelFile } from './thread-messages.ts'
import { digestVersion } from './version-files.ts'

/**
 * Opens a model for runs. Whatever is in the way is no fault of the event that asks for it: rejects with
 * `model-unavailable` alone.
 */
export const openModel: OpenModel = async (model) => {
  try {
    const fileBytes = await checkFile(model)
    return { session: await openSession(model.path), fileBytes }
  } catch (thrown) {
    throw toUnavailable(thrown)
  }
}

/** What kept a model from being opened, as `model-unavailable`. */
export function toUnavailable(thrown: unknown): PeltonError {
  const error = toPeltonError(thrown, 'model-unavailable', 'the model cannot be opened')
  if (error.code === 'model-unavailable') return error
  return new PeltonError('model-unavailable', error.description, {}, thrown)
}

/** The size of a model's files. What nobody but us can write was digested when it was copied, and is not read again. */
async function checkFile({ path, digest, isCopy, sizeBytes }: ModelFile): Promise<number> {
  if (isCopy === true) {
    const { size } = await stat(path).catch((cause: unknown) => {
      const remedy = 'A worker makes another as soon as the model can be read.'
      throw new PeltonError('model-unavailable', 'the copy of the model is gone', { remedy }, cause)
    })
    return sizeBytes ?? size
  }
  const found = await digestVersion(path)
  if (digest === undefined || found.digest === digest) return found.sizeBytes
  throw new PeltonError('model-unavailable', 'the file has changed since it was inspected', {
    field: 'sha256',
    value: found.digest,
    remedy: 'Put a changed model into a new version folder.',
  })
}
