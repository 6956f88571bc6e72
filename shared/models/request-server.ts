import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError, toPeltonError } from '../sdk/errors.ts'
import { readDigest } from './model-file.ts'
import { openSession } from './session.ts'
import { createSessionCache, type OpenModel } from './session-cache.ts'
import type { SessionLimits, ThreadRequest } from './thread-messages.ts'

/** What answers requests where models run: in an inference thread, or in a process of a model's own. */
export interface RequestServer {
  /**
   * Answers one request; calls must not overlap. `runMs` is how long the run took, the opening of the model excluded.
   *
   * @throws PeltonError `inference-failed`, `model-unavailable`
   */
  serve(request: ThreadRequest): Promise<{ readonly outputs: readonly Tensor[]; readonly runMs?: number }>
  /** Closes all models. */
  clear(): Promise<void>
}

export function createRequestServer(limits: SessionLimits): RequestServer {
  const sessions = createSessionCache(openModel, limits)
  return {
    async serve(request) {
      if (request.kind === 'unload') {
        await sessions.drop(request.key)
        return { outputs: [] }
      }
      const session = await sessions.take(request.model)
      if (request.kind === 'load') return { outputs: [] }
      const startedMs = performance.now()
      const outputs = await session.run(request.inputs, request.outputNames)
      return { outputs, runMs: performance.now() - startedMs }
    },
    clear: () => sessions.clear(),
  }
}

/** Whatever is in the way of opening a model is no fault of the event that asks for it. */
const openModel: OpenModel = async (model) => {
  try {
    return await open(model)
  } catch (thrown) {
    const { code, description } = toPeltonError(thrown, 'model-unavailable', 'the model cannot be opened')
    throw code === 'model-unavailable'
      ? thrown
      : new PeltonError('model-unavailable', description, {}, thrown)
  }
}

const open: OpenModel = async ({ path, digest }) => {
  const found = await readDigest(path)
  if (digest !== undefined && found.digest !== digest) {
    throw new PeltonError('model-unavailable', 'the file has changed since it was inspected', {
      field: 'sha256',
      value: found.digest,
      remedy: 'Put a changed model into a new version folder.',
    })
  }
  return { session: await openSession(path), fileBytes: found.sizeBytes }
}
