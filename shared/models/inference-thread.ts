import { parentPort, workerData } from 'node:worker_threads'
import { PeltonError, toPeltonError } from '../sdk/errors.ts'
import { readDigest } from './model-file.ts'
import { openSession } from './session.ts'
import { createSessionCache, type OpenModel } from './session-cache.ts'
import {
  buffersOf,
  type FromThread,
  type SessionLimits,
  type ThreadRequest,
  type ToThread,
  toErrorMessage,
} from './thread-messages.ts'

/** The entry of an inference thread: one request after the other, until it is told to stop. */
function main(): void {
  const port = parentPort
  if (port === null) throw new PeltonError('internal', 'this file is the entry of a thread, not of a process')
  const sessions = createSessionCache(openModel, workerData as SessionLimits)
  let last: Promise<void> = Promise.resolve()

  const answer = async (request: ThreadRequest & { readonly id: number }): Promise<void> => {
    const { id } = request
    try {
      const outputs = await serve(request)
      port.postMessage({ kind: 'done', id, outputs } satisfies FromThread, buffersOf(outputs))
    } catch (thrown) {
      port.postMessage({
        kind: 'failed',
        id,
        error: toErrorMessage(thrown, 'inference-failed'),
      } satisfies FromThread)
    }
  }
  const serve = async (request: ThreadRequest) => {
    if (request.kind === 'unload') {
      await sessions.drop(request.key)
      return []
    }
    const session = await sessions.take(request.model)
    return request.kind === 'load' ? [] : session.run(request.inputs, request.outputNames)
  }
  const stop = async (): Promise<void> => {
    await sessions.clear()
    port.close()
  }
  port.on('message', (message: ToThread) => {
    last = last.then(() => (message.kind === 'stop' ? stop() : answer(message)))
  })
  port.postMessage({ kind: 'ready' } satisfies FromThread)
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

main()
