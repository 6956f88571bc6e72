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
    else if (asked.kind === 'inspect') send({ kind: 'inspected', inspection: await inspect(asked.request) })
    else await prepare()
  } catch (thrown) {
    send({ kind: 'refused', error: toErrorMessage(thrown, 'model-refused') })
  }
}

/** What tries models: loaded before the first that nobody has inspected yet. A worker that starts again needs none of it. */
const load = () => import('./inspect-model.ts')

async function prepare(): Promise<void> {
  // That is no fault of a model: whoever asks sees that this process has ended, and asks another one later.
  await load().catch(() => process.exit(1))
  send({ kind: 'ready' })
}

async function inspect(request: InspectionRequest): Promise<Inspection> {
  return (await load()).inspectModel(request)
}

function send(message: FromInspector): void {
  process.send?.(message)
}

main()
