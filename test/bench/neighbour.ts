// How long a model's events in lane `high` wait beside a flood of each kind in lane `low`, and whether the worker keeps
// its connection. One run; the table of docs/faults.md.
// npx tsx test/bench/neighbour.ts [--payload=1] [--seconds=4] [--from=1] [--to=<last kind>]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { startBroker } from '../../shared/sdk/broker/server.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { frameOf, readFrameHeaders } from '../../shared/sdk/jetstream/frame.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { numberArgument, quantile } from '../scale/stage.ts'
import { NOBODYS, type Told } from './neighbour/flood-messages.ts'
import { type Kind, kindsFor, NEIGHBOUR, openModels } from './neighbour/kinds.ts'

const payloadMiB = numberArgument('payload', 1)
const seconds = numberArgument('seconds', 4)
/** Of a body: headers, and what a worker adds to them in a dead letter, have to fit beside it. */
const largest = payloadMiB * 1024 ** 2 - 80_000
const kinds = kindsFor(largest)
/** A neighbour publishes this often, milliseconds. */
const EVERY_MS = 15

interface Neighbour {
  /** Publishes for so many seconds, waits for every answer: how long each took, milliseconds. */
  measure(forSeconds: number): Promise<readonly number[]>
}

async function openNeighbour(connection: NatsConnection): Promise<Neighbour> {
  const window = new PublishWindow(connection)
  const body = Buffer.from(
    JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 3], data: [1, 2, 3] }] }),
  )
  const subject = subjects.feature({ pool: 'default', model: NEIGHBOUR, lane: 'high' })
  const sentAt = new Map<string, number>()
  const took: number[] = []
  connection.subscribe(`results.${NEIGHBOUR}.>`, {
    callback: (_error, message) => {
      const id = readHeader(readFrameHeaders(frameOf(message)), HEADERS.correlationId) ?? ''
      took.push(performance.now() - (sentAt.get(id) ?? Number.NaN))
      sentAt.delete(id)
    },
  })
  let published = 0
  return {
    async measure(forSeconds) {
      took.length = 0
      for (
        const end = performance.now() + forSeconds * 1_000;
        performance.now() < end;
        await sleep(EVERY_MS)
      ) {
        const id = `near-${published++}`
        sentAt.set(id, performance.now())
        void window.publish({ subject, headers: [[HEADERS.id, id]], body })
      }
      for (
        const end = performance.now() + 60_000;
        sentAt.size > 0 && performance.now() < end;
        await sleep(20)
      );
      return [...took]
    },
  }
}

/** Times the neighbour alone, and beside the flood. */
async function timeBeside(url: string, index: number, neighbour: Neighbour) {
  const { url: program, execArgv } = siblingEntry(
    new URL('./neighbour/kinds.ts', import.meta.url).href,
    'flood-process',
  )
  const flood = fork(fileURLToPath(program), [url, String(largest), String(index)], { execArgv })
  await once(flood, 'message')
  const alone = p99(await neighbour.measure(seconds))
  flood.send('store')
  const stored = p99(await neighbour.measure(seconds))
  flood.send('go')
  const beside = p99(await neighbour.measure(seconds))
  flood.send('stop')
  const [told] = (await once(flood, 'message')) as [Told]
  flood.disconnect()
  await once(flood, 'exit')
  return { alone, stored, beside, told }
}

const lost = ({ log }: WorkerProcess): number =>
  log.filter(({ msg, end }) => msg === 'pull failed' && (end === 'lost' || end === 'unavailable')).length

/** Waits until nothing of the flood is left. */
async function settled(connection: NatsConnection): Promise<void> {
  const waiting = async (): Promise<number> =>
    ((await streamInfo(connection, STREAMS.features))?.state.messages ?? 0) +
    ((await streamInfo(connection, STREAMS.retries))?.state.messages ?? 0)
  for (
    const end = performance.now() + 60_000;
    (await waiting()) > 0 && performance.now() < end;
    await sleep(100)
  );
}

const p99 = (values: readonly number[]): number => quantile(values, 0.99)
const show = (ms: number): string => (ms < 10 ? ms.toFixed(1) : ms.toFixed(0))

interface Row {
  readonly alone: number
  /** While the broker stores the flood, and nobody works on it. */
  readonly stored: number
  readonly beside: number
  readonly told: Told
  readonly lost: number
}

function showRow(
  { name, size, runs, perSecond }: Kind,
  { alone, stored, beside, told, lost: losses }: Row,
): string {
  const bound = Math.max(3 * alone, runs ? alone + told.oneAloneMs : 0)
  const outcomes = Object.entries(told.outcomes).map(([what, count]) => `${count} ${what}`)
  const times = [alone, stored, beside, told.oneAloneMs].map(show)
  const cells = [name, size, perSecond, outcomes.join(', '), ...times, losses === 0 ? 'no' : losses]
  return `| ${[...cells, beside <= bound ? 'yes' : '**no**'].join(' | ')} |`
}

const folder = await openModels()
const broker = await startBroker({ config: `max_payload: ${payloadMiB}MB` })
const connection = await connect({ servers: broker.url })
await provision(connection)
const worker = await startWorkerProcess({ url: broker.url, models: folder.path })
try {
  const neighbour = await openNeighbour(connection)
  await neighbour.measure(3)
  console.log(
    '| kind | size | a second | outcomes of the flood | alone, p99 ms | beside what is only stored, p99 ms | beside, p99 ms | one alone, ms | pulls lost | within |',
  )
  console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |')
  for (let index = numberArgument('from', 1) - 1; index < numberArgument('to', kinds.length); index++) {
    const before = lost(worker)
    const times = await timeBeside(broker.url, index, neighbour)
    await requestApi(connection, `STREAM.PURGE.${STREAMS.features}`, { filter: `features.${NOBODYS}.>` })
    await settled(connection)
    console.log(showRow(kinds[index] as Kind, { ...times, lost: lost(worker) - before }))
  }
} finally {
  worker.kill('SIGTERM')
  await worker.ended
  await connection.close()
  await broker.stop()
  await folder.remove()
}
