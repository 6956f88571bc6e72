import { encodeLedgerRecord, type LedgerEntry } from '../../shared/sdk/contract/ledger.ts'
import { outcomeDigest } from '../../shared/sdk/contract/outcome-digest.ts'
import { encodeLines, predictionMessage } from '../../shared/sdk/contract/register-message.ts'
import { deliveryOf, EPOCH } from '../kit/deliveries.ts'

// What the digest of an outcome costs a worker for each event, and the ledger in bytes: `node --import tsx
// test/bench/outcome-digest.ts`. Pure work in one process, the middle of eleven rounds.

const ROUNDS = 11
const BATCH = 64

/** Microseconds a call, the middle of the rounds. */
function measure(calls: number, work: () => unknown): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const startedAt = performance.now()
    for (let call = 0; call < calls; call++) work()
    return ((performance.now() - startedAt) * 1_000) / calls
  })
  return rounds.sort((one, other) => one - other)[Math.floor(ROUNDS / 2)] as number
}

function tell(what: string, microseconds: number): void {
  process.stdout.write(`${what.padEnd(64)} ${microseconds.toFixed(2).padStart(9)} µs\n`)
}

const { event } = deliveryOf({ model: 'flight-delay' })
const facts = {
  modelVersion: '2',
  contentType: 'application/json',
  inferenceHeaderLength: undefined,
  queueMs: 3.1,
  inferenceMs: 0.52,
  batchRows: 64,
}
const made = { worker: 'w1', at: Date.now(), deliveryCount: 1, storedAt: 0, inputDigest: 'a'.repeat(22) }
const message = predictionMessage(event, facts, made, Buffer.alloc(200, 0x20))
const block = encodeLines(message)

tell(
  `lines and header block of ${block.length} bytes`,
  measure(20_000, () => encodeLines(predictionMessage(event, facts, made, message.body))),
)
for (const bytes of [200, 4_096, 65_536, 1_048_576]) {
  const body = Buffer.alloc(bytes, 0x20)
  const calls = Math.max(50, Math.min(20_000, 2e8 / bytes / 10))
  tell(
    `digest of it and a body of ${bytes} bytes`,
    measure(calls, () => outcomeDigest(block, body)),
  )
}

const bare = Array.from(
  { length: BATCH },
  (_, index): LedgerEntry => ({ sequence: 1_000 + index, outcome: 'predicted' }),
)
const digested = bare.map((entry, index) => ({ ...entry, digest: (index * 2_654_435_761) >>> 0 }))
const record = (entries: readonly LedgerEntry[]): Uint8Array =>
  encodeLedgerRecord({ stream: 'FEATURES', epoch: EPOCH, by: 'w1', entries })
for (const [what, entries] of [
  ['without', bare],
  ['with', digested],
] as const) {
  tell(`ledger record of ${BATCH} ${what} digests, each event`, measure(2_000, () => record(entries)) / BATCH)
}
const [before, after] = [bare, digested].map((entries) => record(entries).length) as [number, number]
process.stdout.write(
  `ledger record of ${BATCH}: ${before} bytes without digests, ${after} with: ${((after - before) / BATCH).toFixed(2)} an event more\n`,
)
