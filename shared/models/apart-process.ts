import { constants, setPriority } from 'node:os'
import { copyTensors } from './packed-tensors.ts'
import { endWithParent } from './parent-guard.ts'
import { createRequestServer } from './request-server.ts'
import { type FromThread, type ThreadRequest, toErrorMessage } from './thread-messages.ts'

/** The entry of a process of a model's own: one request after the other, as asked over the channel to its parent. */
function main(): void {
  endWithParent()
  // What runs here has shown that it may never end: everybody else comes first.
  setPriority(constants.priority.PRIORITY_LOW)
  const server = createRequestServer({ maxOpen: 1 })
  let last: Promise<void> = Promise.resolve()

  const answer = async (request: ThreadRequest & { readonly id: number }): Promise<void> => {
    const { id } = request
    try {
      send({ kind: 'done', id, ...(await server.serve(placed(request))) })
    } catch (thrown) {
      send({ kind: 'failed', id, error: toErrorMessage(thrown, 'inference-failed') })
    }
  }
  process.on('message', (request: ThreadRequest & { readonly id: number }) => {
    last = last.then(() => answer(request))
  })
  send({ kind: 'ready' })
}

/** A channel delivers tensors at any place in a buffer; the last bits of an answer depend on it. */
function placed<Request extends ThreadRequest>(request: Request): Request {
  return request.kind === 'run' ? { ...request, inputs: copyTensors(request.inputs) } : request
}

function send(message: FromThread): void {
  process.send?.(message)
}

main()
