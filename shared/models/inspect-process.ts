import type { Inspection, InspectionRequest } from './inspect-model.ts'
import type { FromInspector, ToInspector } from './inspector-messages.ts'
import { endWithParent } from './parent-guard.ts'
import { toErrorMessage } from './thread-messages.ts'
import { gatherVersion } from './version-files.ts'

/** The entry of the inspector process: one model after the other, as asked over the channel to its parent. */
function main(): void {
  endWithParent()
  process.on('message', (asked: ToInspector) => void answer(asked))
  send({ kind: 'ready' })
}

async function answer(asked: ToInspector): Promise<void> {
  try {
    if (asked.kind === 'gather') send({ kind: 'gathered', version: await gatherVersion(asked.request) })
    else send({ kind: 'inspected', inspection: await inspect(asked.request) })
  } catch (thrown) {
    send({ kind: 'refused', error: toErrorMessage(thrown, 'model-refused') })
  }
}

/** The runtime is loaded with the first model that nobody has inspected yet: a worker that starts again needs none of it. */
async function inspect(request: InspectionRequest): Promise<Inspection> {
  const { inspectModel } = await import('./inspect-model.ts')
  return inspectModel(request)
}

function send(message: FromInspector): void {
  process.send?.(message)
}

main()
