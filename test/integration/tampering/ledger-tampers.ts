import {
  decodeLedgerRecord,
  encodeLedgerRecord,
  type LedgerEntry,
} from '../../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type Evidence, erase, put, type Stored } from './evidence.ts'
import type { HistoryStage } from './history-stage.ts'
import type { Owed, Tamper } from './tamper.ts'

const stream = STREAMS.ledger

/** Without the oldest, which leaves as one that expired: then what is as old as it is unproven, and not clean for that. */
const recordsOf = ({ of, entries }: Evidence): Stored[] => {
  const readable = new Set(entries.map(({ record: own }) => own))
  return of(stream).filter(({ sequence }, index) => index > 0 && readable.has(sequence))
}

/** Sequences of today's FEATURES that a record alone names, and that left FEATURES: without it they look lost. */
function aloneIn(record: Stored, { entries, epoch, of }: Evidence): string[] {
  const waiting = new Set(of(STREAMS.features).map(({ sequence }) => sequence))
  const ofToday = entries.filter((entry) => entry.stream === STREAMS.features && entry.epoch === epoch)
  const elsewhere = new Set(
    ofToday.filter((entry) => entry.record !== record.sequence).map(({ sequence }) => sequence),
  )
  return ofToday
    .filter(({ record: own, sequence }) => own === record.sequence && !elsewhere.has(sequence))
    .flatMap(({ sequence }) => (waiting.has(sequence) ? [] : [`#${sequence}`]))
}

/** A record in the ledger, of a worker's. */
async function record(stage: HistoryStage, evidence: Evidence, entry: LedgerEntry): Promise<void> {
  const { epoch } = evidence
  const body = encodeLedgerRecord({ stream: STREAMS.features, epoch, by: 'forger', entries: [entry] })
  await put(stage, { subject: subjects.ledger('default'), headerBlock: new Uint8Array(), body })
}

function waitingPlainly({ of, entries, epoch }: Evidence): Stored[] {
  const named = new Set(
    entries
      .filter((one) => one.stream === STREAMS.features && one.epoch === epoch)
      .map((one) => one.sequence),
  )
  return of(STREAMS.features).filter(
    ({ sequence, headers }) => !named.has(sequence) && !headers.has('pelton-replay'),
  )
}

const owedFor = (victim: Stored): Owed => ({ found: [[`#${victim.sequence}`]] })

const forgeries: readonly Tamper[] = [
  {
    ...{ kind: 'forge', stream, what: 'the record of an event that was deleted' },
    async act(stage, evidence, free) {
      const victim = free.one(waitingPlainly(evidence), evidence)
      if (victim === undefined) return undefined
      await erase(stage, victim)
      await record(stage, evidence, { sequence: victim.sequence, outcome: 'predicted', digest: 1 })
      return owedFor(victim)
    },
  },
  {
    ...{ kind: 'forge', stream, what: 'an operator’s word for an event that was deleted' },
    async act(stage, evidence, free) {
      const victim = free.one(waitingPlainly(evidence), evidence)
      if (victim === undefined) return undefined
      await erase(stage, victim)
      await record(stage, evidence, { sequence: victim.sequence, outcome: 'purged' })
      return { excused: 'agrees' }
    },
  },
  {
    ...{ kind: 'forge', stream, what: 'a message that is no record' },
    async act(stage) {
      await put(stage, {
        subject: subjects.ledger('default'),
        headerBlock: new Uint8Array(),
        body: Buffer.from('junk'),
      })
      return { excused: 'note' }
    },
  },
]

/** What can be done to the LEDGER. */
export const LEDGER_TAMPERS: readonly Tamper[] = [
  {
    ...{ kind: 'delete', stream, what: 'a record' },
    async act(stage, evidence, free) {
      const victim = free.one(recordsOf(evidence), evidence)
      if (victim === undefined) return undefined
      await erase(stage, victim)
      return { records: aloneIn(victim, evidence) }
    },
  },
  {
    ...{ kind: 'double', stream, what: 'a record' },
    async act(stage, evidence, free) {
      const victim = free.one(recordsOf(evidence), evidence)
      if (victim === undefined) return undefined
      await put(stage, victim)
      return { excused: 'again' }
    },
  },
  ...forgeries,
  {
    ...{ kind: 'swap', stream, what: 'two records' },
    async act(stage, evidence, free) {
      const two = free.two(recordsOf(evidence), evidence)
      if (two === undefined) return undefined
      for (const one of two) await erase(stage, one)
      for (const one of two.toReversed()) await put(stage, one)
      return { records: [] }
    },
  },
  {
    ...{ kind: 'edit', stream, what: 'the numbers of a record' },
    async act(stage, evidence, free) {
      const victim = free.one(recordsOf(evidence), evidence)
      if (victim === undefined) return undefined
      const { entries, ...rest } = decodeLedgerRecord(victim.body)
      const moved = entries.map((entry) => ({ ...entry, sequence: entry.sequence + 3_000_000 }))
      await erase(stage, victim)
      await put(stage, { ...victim, body: encodeLedgerRecord({ ...rest, entries: moved }) })
      return { records: aloneIn(victim, evidence) }
    },
  },
]
