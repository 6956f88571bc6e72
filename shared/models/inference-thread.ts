import { parentPort, workerData } from 'node:worker_threads'
import { TURN_BYTES } from '../runtime/turns.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { unpackTensors } from './packed-tensors.ts'
import { createRequestServer } from './request-server.ts'
import {
  buffersOf,
  type FromThread,
  type SentRequest,
  type SessionLimits,
  type ThreadRequest,
  type ToThread,
  toErrorMessage,
} from './thread-messages.ts'
import { packTexts, workOfAll } from './work.ts'

/** The entry of an inference thread: one request after the other, until it is told to stop. */
function main(): void {
  const port = parentPort
  if (port === null) throw new PeltonError('internal', 'this file is the entry of a thread, not of a process')
  const server = createRequestServer(workerData as SessionLimits, (told) =>
    port.postMessage(told satisfies FromThread),
  )
  let last: Promise<void> = Promise.resolve()

  const answer = async (request: SentRequest & { readonly id: number }): Promise<void> => {
    const { id } = request
    try {
      const { outputs: made, ...rest } = await server.serve(unpacked(request))
      const outputs = forLoop(made)
      port.postMessage({ kind: 'done', id, outputs, ...rest } satisfies FromThread, buffersOf(outputs))
    } catch (thrown) {
      port.postMessage({
        kind: 'failed',
        id,
        error: toErrorMessage(thrown, 'inference-failed'),
      } satisfies FromThread)
    }
  }
  const stop = async (): Promise<void> => {
    await server.clear()
    port.close()
  }
  port.on('message', (message: ToThread) => {
    last = last.then(() => (message.kind === 'stop' ? stop() : answer(message)))
  })
  port.postMessage({ kind: 'ready' } satisfies FromThread)
}

function unpacked(request: SentRequest): ThreadRequest {
  return request.kind === 'run' ? { ...request, inputs: unpackTensors(request.inputs) } : request
}

/** Many texts reach the main loop as one buffer, which it does not look into. */
function forLoop(outputs: readonly Tensor[]): readonly Tensor[] {
  return workOfAll(outputs) > TURN_BYTES ? outputs.map(packTexts) : outputs
}

main()
