import type { NatsConnection } from '@nats-io/transport-node'
import { decodeLedgerRecord, type LedgerRecord } from '../../sdk/contract/ledger.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { readRange } from '../broker/read-range.ts'
import { neededStream } from '../broker/stored-sequences.ts'

/** Told each record: its sequence in the LEDGER, and when it was stored, milliseconds since 1970. */
export type OnRecord = (record: LedgerRecord, position: number, storedAt: number) => void

/** Reads the ledger in parts: each goes on where the one before it ended. */
export interface LedgerReader {
  /** Records that are not of this contract: they account for nothing. */
  readonly unreadable: number
  /** First sequence of the LEDGER that was not read yet. */
  readonly next: number
  /** Reads on, to what is the end when it begins. */
  readOn(): Promise<void>
}

/** Reads the ledger in order from sequence `from`, each record once. */
export function createLedgerReader(
  connection: NatsConnection,
  from: number,
  onRecord: OnRecord,
): LedgerReader {
  let next = from
  let unreadable = 0
  return {
    get unreadable() {
      return unreadable
    },
    get next() {
      return next
    },
    readOn: async () => {
      const { last_seq: to } = (await neededStream(connection, STREAMS.ledger)).state
      await readRange(connection, { stream: STREAMS.ledger, from: next, to }, (read) => {
        const record = decode(read.message.data)
        if (record === undefined) unreadable++
        else onRecord(record, read.sequence, read.storedAt)
      })
      next = Math.max(next, to + 1)
    },
  }
}

function decode(bytes: Uint8Array): LedgerRecord | undefined {
  try {
    return decodeLedgerRecord(bytes)
  } catch {
    return undefined
  }
}
