// What an audit costs: bytes of the LEDGER an event, plain and deep seconds by its own clock, and the most memory its
// process took; with the digests of the outcomes in the ledger, and without.
// npx tsx test/bench/audit.ts [--events=1000000] [--runs=3] [--checkout=<another checkout whose audit is measured>]
import { execFile } from 'node:child_process'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { NatsConnection } from '@nats-io/transport-node'
import { readEvent } from '../../shared/sdk/contract/event.ts'
import { encodeLedgerRecord, type LedgerEntry } from '../../shared/sdk/contract/ledger.ts'
import { outcomeDigest } from '../../shared/sdk/contract/outcome-digest.ts'
import { encodeLines, predictionMessage } from '../../shared/sdk/contract/register-message.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { payloadDigest } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { median, numberArgument } from '../scale/stage.ts'

const events = numberArgument('events', 1_000_000)
const runs = numberArgument('runs', 3)
const HERE = fileURLToPath(new URL('../..', import.meta.url))
const asked = process.argv.find((argument) => argument.startsWith('--checkout='))?.slice('--checkout='.length)
const checkout = resolve(asked ?? HERE)
const BATCH = 64
const SUBJECT = 'features.default.flight-delay.normal'
const body = Buffer.from(
  JSON.stringify({ outputs: [{ name: 'delay', shape: [1], datatype: 'FP32', data: [7.5] }] }),
)
const inputDigest = payloadDigest(body)

/** The prediction of one event, as a worker writes it. */
function prediction(epoch: string, sequence: number) {
  const headers = new Map([
    ['ce-id', `event-${sequence}`],
    ['ce-source', '/bench'],
  ])
  const event = readEvent({ subject: SUBJECT, headers, body, stream: STREAMS.features, epoch, sequence })
  const made = { worker: 'worker-1', at: Date.now(), deliveryCount: 1, storedAt: Date.now(), inputDigest }
  const facts = { modelVersion: '1', contentType: 'application/json', inferenceHeaderLength: undefined }
  return predictionMessage(event, { ...facts, queueMs: 1.5, inferenceMs: 0.25, batchRows: BATCH }, made, body)
}

/** Stores the predictions of all events. @returns the digest of each */
async function storeResults(window: PublishWindow, epoch: string): Promise<Uint32Array> {
  const digests = new Uint32Array(events + 1)
  for (let from = 1; from <= events; from += 2_000) {
    const some = Array.from({ length: Math.min(2_000, events - from + 1) }, (_item, index) => from + index)
    await Promise.all(
      some.map(async (sequence) => {
        const message = prediction(epoch, sequence)
        digests[sequence] = outcomeDigest(encodeLines(message), message.body)
        const reply = await window.publish(message)
        if (reply.kind !== 'stored') throw new Error(reply.description)
      }),
    )
  }
  return digests
}

/** Tells the ledger of all events, 64 a record. */
async function storeLedger(
  window: PublishWindow,
  epoch: string,
  digests: Uint32Array | undefined,
): Promise<void> {
  const underWay: Promise<unknown>[] = []
  for (let from = 1; from <= events; from += BATCH) {
    const entries = Array.from(
      { length: Math.min(BATCH, events - from + 1) },
      (_item, index): LedgerEntry => {
        const sequence = from + index
        const digest = digests?.[sequence]
        return { sequence, outcome: 'predicted', ...(digest !== undefined && { digest }) }
      },
    )
    const record = encodeLedgerRecord({ stream: STREAMS.features, epoch, by: 'worker-1', entries })
    underWay.push(window.publish({ subject: subjects.ledger('default'), headers: [], body: record }))
    if (underWay.length >= 2_000) await Promise.all(underWay.splice(0))
  }
  await Promise.all(underWay)
}

interface Taken {
  readonly seconds: number
  /** Of the audit's process alone, the broker's apart; less than a second of it is its start. */
  readonly cpuSeconds: number
  readonly peakMiB: number
  readonly clean: boolean
}

const CHILD = `
const [{ audit }, { connect }] = await Promise.all([import(process.argv[1]), import('@nats-io/transport-node')])
const connection = await connect({ servers: process.argv[2] })
const deep = process.argv[3] === 'deep'
const { report } = await audit(connection, { deep, full: true, signal: new AbortController().signal })
await connection.close()
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
console.log(JSON.stringify([report.tookMs / 1e3, (userCPUTime + systemCPUTime) / 1e6, maxRSS / 1024, report.clean]))`

/** One audit in a process of its own. */
async function auditOnce(broker: TestBroker, how: 'plain' | 'deep'): Promise<Taken> {
  const module = join(checkout, 'shared/operations/audit/audit.ts')
  const args = ['--import', 'tsx', '--input-type=module', '-e', CHILD, module, broker.url, how]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: HERE })
  const [seconds, cpuSeconds, peakMiB, clean] = JSON.parse(stdout) as [number, number, number, boolean]
  return { seconds, cpuSeconds, peakMiB, clean }
}

async function measure(broker: TestBroker, connection: NatsConnection, what: string): Promise<void> {
  const bytes = (await streamInfo(connection, STREAMS.ledger))?.state.bytes ?? 0
  console.log(`${what}: ${(bytes / events).toFixed(2)} bytes of the LEDGER an event`)
  for (const how of ['plain', 'deep'] as const) {
    const taken: Taken[] = []
    for (let run = 0; run < runs; run++) taken.push(await auditOnce(broker, how))
    const seconds = taken.map((one) => one.seconds)
    const peak = Math.max(...taken.map(({ peakMiB }) => peakMiB))
    const each = seconds.map((one) => one.toFixed(2)).join(', ')
    const verdict = taken.every(({ clean }) => clean) ? 'clean' : 'NOT CLEAN'
    const cpu = median(taken.map(({ cpuSeconds }) => cpuSeconds)).toFixed(1)
    const took = `${median(seconds).toFixed(2)} s (${each}), ${cpu} s of CPU`
    console.log(`  ${how}: ${took}, at most ${peak.toFixed(0)} MiB; ${verdict}`)
  }
}

const broker = await startTestBroker()
try {
  await broker.provision()
  const connection = await broker.connect()
  const window = new PublishWindow(connection)
  const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
  // FEATURES as it is once it has given out all these sequences and workers have emptied it.
  await requestApi(connection, `STREAM.PURGE.${STREAMS.features}`, { seq: events + 1 })
  const digests = await storeResults(window, epoch)
  console.log(`${events} events, audited by ${checkout === resolve(HERE) ? 'this checkout' : checkout}`)
  for (const which of [undefined, digests]) {
    await requestApi(connection, `STREAM.DELETE.${STREAMS.ledger}`)
    await broker.provision()
    await storeLedger(window, epoch, which)
    await measure(broker, connection, which === undefined ? 'without digests' : 'with digests')
  }
  window.close()
} finally {
  await broker.stop()
}
