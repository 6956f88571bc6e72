import type { NatsConnection } from '@nats-io/transport-node'
import { encodeLedgerRecord, type LedgerEntry } from '../../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { PublishWindow, publishError } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { AuditReport } from './report.ts'
import { type SequenceRange, showRanges } from './sequence-set.ts'

/** Records of the control side, whatever the pool was: with the event gone, nobody knows it. */
const LEDGER_SUBJECT = subjects.ledger('control')
/** Entries in one record. */
const CHUNK = 1_000

/**
 * Enters in the ledger that an operator removed events: they are told apart from loss from then on.
 *
 * @param by who says so, and why
 * @throws PeltonError `invalid-argument` for sequences that are not lost
 */
export async function declarePurged(
  connection: NatsConnection,
  { epoch, lost, lostRetries }: AuditReport,
  declared: readonly SequenceRange[],
  by: string,
): Promise<number> {
  const ofFeatures = lostRetries.filter(({ stream }) => stream === STREAMS.features)
  const retries = new Map(ofFeatures.map((event) => [event.sequence, event]))
  const isLost = (sequence: number): boolean =>
    retries.has(sequence) || lost.some(([first, last]) => sequence >= first && sequence <= last)
  const entries: LedgerEntry[] = []
  for (const [first, last] of declared) {
    for (let sequence = first; sequence <= last; sequence++) {
      if (!isLost(sequence)) throw notLost(sequence, lost)
      const token = retries.get(sequence)?.token
      entries.push({ sequence, outcome: 'purged', ...(token !== undefined && { token }) })
    }
  }
  const window = new PublishWindow(connection)
  try {
    for (let at = 0; at < entries.length; at += CHUNK) {
      const record = { stream: STREAMS.features, epoch, by, entries: entries.slice(at, at + CHUNK) }
      const body = encodeLedgerRecord(record)
      const reply = await window.publish({ subject: LEDGER_SUBJECT, headers: [], body })
      if (reply.kind !== 'stored') throw publishError(STREAMS.ledger, reply)
    }
  } finally {
    window.close()
  }
  return entries.length
}

function notLost(sequence: number, lost: readonly SequenceRange[]): PeltonError {
  return new PeltonError('invalid-argument', 'only what is lost can be entered as purged', {
    field: '--purged',
    value: String(sequence),
    remedy: lost.length === 0 ? 'Nothing is lost.' : `Lost are: ${showRanges(lost).slice(0, 300)}.`,
  })
}
