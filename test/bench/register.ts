// What a result costs its broker: memory and disk, by the register of as many events as asked for. Results are stored as a worker
// stores them, one subject each, with an expected sequence of 0. Server and client share this machine.
// npx tsx test/bench/register.ts [--results=500000] [--bytes=90]
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { HEADERS, type HeaderEntry } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker } from '../kit/broker.ts'
import { numberArgument } from '../scale/stage.ts'

const results = numberArgument('results', 500_000)
const bytes = numberArgument('bytes', 90)
const MODEL = 'flight-delay'
const AT_ONCE = 1_000

const broker = await startTestBroker()
await broker.provision({ topology: { resultsMaxMessages: 2 * results } })
const connection = await broker.connect()
const window = new PublishWindow(connection)
const body = Buffer.alloc(bytes, 'x')

/** Headers of the size a prediction has. */
function headersOf(id: string, token: string): HeaderEntry[] {
  return [
    [HEADERS.specVersion, '1.0'],
    [HEADERS.id, `${token}-1`],
    [HEADERS.source, '/pelton/worker-bench'],
    [HEADERS.type, 'pelton.prediction'],
    [HEADERS.time, '2026-01-31T12:00:00.000Z'],
    [HEADERS.correlationId, id],
    [HEADERS.contract, '1.0'],
    [HEADERS.outcome, 'prediction'],
    [HEADERS.token, token],
    [HEADERS.origin, `${STREAMS.features} 2026-01-31T12:00:00.123456789Z 1`],
    [HEADERS.inputDigest, 'd'.repeat(22)],
    [HEADERS.modelVersion, '1'],
    [HEADERS.expectedStream, STREAMS.results],
    [HEADERS.expectedSubjectSequence, '0'],
  ]
}

async function store(index: number): Promise<void> {
  const id = `event-${index}`
  const token = eventToken(MODEL, '/bench', id)
  const reply = await window.publish({
    subject: subjects.result(MODEL, token),
    headers: headersOf(id, token),
    body,
  })
  if (reply.kind !== 'stored') throw new Error(`result ${index} was not stored`)
}

/** Resident memory of the server, bytes, as the system counts it. */
async function memory(): Promise<number> {
  const status = await readFile(`/proc/${broker.pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024
}

async function diskOf(folder: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    sum += entry.isDirectory() ? await diskOf(path) : (await stat(path)).size
  }
  return sum
}

const before = await memory()
for (let from = 0; from < results; from += AT_ONCE)
  await Promise.all(
    Array.from({ length: Math.min(AT_ONCE, results - from) }, (_item, offset) => store(from + offset)),
  )
const whileBusy = await memory()
window.close()
const stored = (await streamInfo(connection, STREAMS.results))?.state
const disk = await diskOf(join(broker.dataDir, 'jetstream'))
await connection.close()
// What it needs to hold them, without what storing them took.
await broker.restart()
const again = await broker.connect()
await streamInfo(again, STREAMS.results)
const atRest = await memory()
await broker.stop()

const each = (value: number): string => `${Math.round(value / results)} bytes a result`
console.log(
  `${stored?.messages} results of ${bytes} bytes, ${Math.round((stored?.bytes ?? 0) / results)} stored each`,
)
console.log(`memory after storing   ${each(whileBusy - before)}`)
console.log(`memory after a restart ${each(atRest - before)}`)
console.log(`disk                   ${each(disk)}`)
