import type { NatsConnection } from '@nats-io/transport-node'
import { encodeLedgerRecord, type LedgerEntry } from '../../sdk/contract/ledger.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { publishError } from '../../sdk/jetstream/publish-reply.ts'
import { PublishWindow } from '../../sdk/jetstream/publish-window.ts'
import { type SequenceRange, showRanges } from '../broker/sequence-set.ts'
import type { AuditReport } from './report.ts'

/** Records of the control side, whatever the pool was: with the event gone, it cannot be known. */
const LEDGER_SUBJECT = subjects.ledger('control')
/** Entries in one record. */
const CHUNK = 1_000

/** An event that an operator may sign for. */
interface Signable {
  readonly epoch: string
  readonly sequence: number
  readonly token?: string
}

/**
 * Enters in the ledger that an operator removed events: they are told apart from loss from then on. Where the same
 * number is lost in two creations of FEATURES, that of today is meant.
 *
 * @param by the operator who says so, and why
 * @throws PeltonError `invalid-argument` for sequences that are not lost
 */
export async function declarePurged(
  connection: NatsConnection,
  report: AuditReport,
  declared: readonly SequenceRange[],
  by: string,
): Promise<number> {
  const events = signableIn(report, declared)
  const byEpoch = new Map<string, LedgerEntry[]>()
  for (const { epoch, ...named } of events) {
    const entries = byEpoch.get(epoch) ?? []
    entries.push({ ...named, outcome: 'purged' })
    byEpoch.set(epoch, entries)
  }
  const window = new PublishWindow(connection)
  try {
    for (const [epoch, entries] of byEpoch) await enterAll(window, epoch, entries, by)
  } finally {
    window.close()
  }
  return events.length
}

/** What is declared, found in the report. Pure. @throws PeltonError `invalid-argument` for what is not lost */
export function signableIn(report: AuditReport, declared: readonly SequenceRange[]): Signable[] {
  const { epoch, lost, lostRetries, lostEarlier, deep } = report
  const named = new Map<number, Signable>()
  const letters = (deep?.problems ?? []).filter(({ problem }) => problem === 'no-dead-letter')
  for (const event of [...letters, ...lostRetries]) {
    const { stream, sequence, token } = event
    if (stream !== STREAMS.features || sequence === undefined || token === undefined) continue
    named.set(sequence, { epoch: event.epoch ?? epoch, sequence, token })
  }
  const find = (sequence: number): Signable | undefined => {
    if (isIn(lost, sequence)) return { epoch, sequence }
    const event = named.get(sequence)
    if (event !== undefined || lostEarlier === undefined) return event
    return isIn(lostEarlier.sequences, sequence) ? { epoch: lostEarlier.epoch, sequence } : undefined
  }
  const events: Signable[] = []
  for (const [first, last] of declared) {
    for (let sequence = first; sequence <= last; sequence++) {
      const event = find(sequence)
      if (event === undefined) throw notLost(sequence, report)
      events.push(event)
    }
  }
  return events
}

function isIn(ranges: readonly SequenceRange[], sequence: number): boolean {
  return ranges.some(([first, last]) => sequence >= first && sequence <= last)
}

async function enterAll(
  window: PublishWindow,
  epoch: string,
  entries: readonly LedgerEntry[],
  by: string,
): Promise<void> {
  for (let at = 0; at < entries.length; at += CHUNK) {
    const record = { stream: STREAMS.features, epoch, by, entries: entries.slice(at, at + CHUNK) }
    const body = encodeLedgerRecord(record)
    const reply = await window.publish({ subject: LEDGER_SUBJECT, headers: [], body })
    if (reply.kind !== 'stored') throw publishError(STREAMS.ledger, reply)
  }
}

function notLost(sequence: number, { lost, lostEarlier }: AuditReport): PeltonError {
  const ranges = showRanges([...lost, ...(lostEarlier?.sequences ?? [])])
  return new PeltonError('invalid-argument', 'only what is lost can be entered as purged', {
    field: '--purged',
    value: String(sequence),
    remedy: ranges === '' ? 'Nothing is lost.' : `Lost are: ${ranges.slice(0, 300)}.`,
  })
}
