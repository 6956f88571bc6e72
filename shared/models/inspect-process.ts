import { inspectModel } from './inspect-model.ts'
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
    else send({ kind: 'inspected', inspection: await inspectModel(asked.request) })
  } catch (thrown) {
    send({ kind: 'refused', error: toErrorMessage(thrown, 'model-refused') })
  }
}

function send(message: FromInspector): void {
  process.send?.(message)
}

main()
