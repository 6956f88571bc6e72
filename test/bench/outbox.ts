import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openOutbox } from '../../shared/sdk/outbox.ts'
import { startTestBroker } from '../kit/broker.ts'

// What an outbox accepts and forwards: `node --import tsx test/bench/outbox.ts [events] [bytes of body] [folder]`.
const count = Number(process.argv[2] ?? 20_000)
const data = new Uint8Array(Number(process.argv[3] ?? 500)).fill(65)
const folder = process.argv[4] ?? tmpdir()
const broker = await startTestBroker()
await broker.provision()

for (const sync of [true, false]) {
  for (const callers of [1, 16, 256]) {
    const path = await mkdtemp(join(folder, 'pelton-bench-outbox-'))
    const outbox = await openOutbox({ path, url: broker.url, source: `bench ${sync} ${callers}`, sync })
    const perCaller = Math.ceil((callers === 1 ? count / 10 : count) / callers)
    const began = performance.now()
    await Promise.all(
      Array.from({ length: callers }, async () => {
        for (let i = 0; i < perCaller; i++) await outbox.publish({ model: 'm', data })
      }),
    )
    const acceptedS = (performance.now() - began) / 1_000
    await outbox.flush({ timeoutMs: 600_000 })
    const storedS = (performance.now() - began) / 1_000
    const events = perCaller * callers
    console.log(
      `sync ${sync}, ${callers} callers: ${Math.round(events / acceptedS)} events/s accepted, ` +
        `${Math.round(events / storedS)} events/s stored by the broker`,
    )
    await outbox.close()
    await rm(path, { recursive: true, force: true })
  }
}
await broker.stop()
