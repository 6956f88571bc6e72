import { type InspectionRequest, inspectModel } from './inspect-model.ts'
import type { FromInspector } from './inspector-messages.ts'
import { endWithParent } from './parent-guard.ts'
import { toErrorMessage } from './thread-messages.ts'

/** The entry of the inspector process: one model after the other, as asked over the channel to its parent. */
function main(): void {
  endWithParent()
  process.on('message', (request: InspectionRequest) => void answer(request))
  send({ kind: 'ready' })
}

async function answer(request: InspectionRequest): Promise<void> {
  try {
    send({ kind: 'inspected', inspection: await inspectModel(request) })
  } catch (thrown) {
    send({ kind: 'refused', error: toErrorMessage(thrown, 'model-refused') })
  }
}

function send(message: FromInspector): void {
  process.send?.(message)
}

main()
