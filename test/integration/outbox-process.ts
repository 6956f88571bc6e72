import { writeSync } from 'node:fs'
import { ClassicLevel } from 'classic-level'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { openOutbox } from '../../shared/sdk/outbox.ts'

// A producer with an outbox that prints the id of each event it accepted and, where asked, ends itself with SIGKILL at the
// n-th step of a kind: `node outbox-process.ts <url> <folder> <prefix of ids> <events> [step] [n] [bytes of body]`.
// Steps: `write` and `written` around a synced write, `send` and `stored` around the broker's word.
const [url = '', path = '', prefix = '', events = '0', step = '', n = '1', size = '20'] =
  process.argv.slice(2)

let left = Number(n)
function at(here: string): void {
  if (here === step && --left === 0) process.kill(process.pid, 'SIGKILL')
}
const batch: (operations: [], options?: { sync?: boolean }) => Promise<void> = ClassicLevel.prototype.batch
Object.assign(ClassicLevel.prototype, {
  batch: async function (this: ClassicLevel, operations: [], options?: { sync?: boolean }) {
    if (options?.sync) at('write')
    await batch.call(this, operations, options)
    if (options?.sync) at('written')
  },
})
const { publish } = PublishWindow.prototype
PublishWindow.prototype.publish = async function (message) {
  at('send')
  const reply = await publish.call(this, message)
  if (reply.kind === 'stored') at('stored')
  return reply
}

const { PELTON_PREFIX } = process.env
const place = PELTON_PREFIX ? { prefix: PELTON_PREFIX } : {}
const outbox = await openOutbox({ path, url, ...place, source: 'outbox', whenFull: 'wait', maxEvents: 500 })
const data = new Uint8Array(Number(size)).fill(65)
let next = 0
await Promise.all(
  Array.from({ length: 8 }, async () => {
    for (let i = next++; i < Number(events); i = next++) {
      const { id, token } = await outbox.publish({ model: 'm', id: `${prefix}-${i}`, data })
      writeSync(1, `${id} ${token}\n`)
    }
  }),
).catch((thrown: unknown) => {
  writeSync(2, `${String(thrown)}\n`)
  process.exitCode = 3
})
await outbox.close({ drain: process.exitCode === undefined, timeoutMs: 60_000 })
