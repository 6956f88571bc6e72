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

/** What tries models is loaded with the first that nobody has inspected yet: a worker that starts again needs none of it. */
async function inspect(request: InspectionRequest): Promise<Inspection> {
  const { inspectModel } = await import('./inspect-model.ts').catch(failed)
  return inspectModel(request)
}

/** That is no fault of the model: whoever asks sees that this process has ended, and asks another one later. */
function failed(): never {
  process.exit(1)
}

function send(message: FromInspector): void {
  process.send?.(message)
}

main()
