import { decodeLedgerRecord, encodeLedgerRecord } from '../../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { type Evidence, erase, put, unsettled } from './evidence.ts'
import { forgedRecord, JUNK } from './forged.ts'
import type { Stored } from './stored.ts'
import type { About, Kind, Tamper } from './tamper.ts'
import { otherOrder, swap, toOne } from './to-victims.ts'

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

/** Waiting events that no replay sent, and that the ledger says nothing of. */
const waitingPlainly = (evidence: Evidence): Stored[] =>
  unsettled(evidence).filter(({ headers }) => !headers.has('pelton-replay'))

const about = (kind: Kind, what: string): About => ({ kind, stream, what })

const forgeries: readonly Tamper[] = [
  toOne(
    about('forge', 'the record of an event that was deleted'),
    waitingPlainly,
    async (victim, stage, { epoch }) => {
      const { sequence } = victim
      await erase(stage, victim)
      await put(stage, forgedRecord(epoch, { sequence, outcome: 'predicted', digest: 1 }))
      return { found: [[`#${sequence}`]] }
    },
  ),
  toOne(
    about('forge', 'an operator’s word for an event that was deleted'),
    waitingPlainly,
    async (victim, stage, { epoch }) => {
      await erase(stage, victim)
      await put(stage, forgedRecord(epoch, { sequence: victim.sequence, outcome: 'purged' }))
      return { excused: 'agrees' }
    },
  ),
  {
    ...about('forge', 'a message that is no record'),
    async act(stage) {
      await put(stage, { ...JUNK, subject: subjects.ledger('default') })
      return { excused: 'note' }
    },
  },
]

/** What can be done to the LEDGER. */
export const LEDGER_TAMPERS: readonly Tamper[] = [
  toOne(about('delete', 'a record'), recordsOf, async (victim, stage, evidence) => {
    await erase(stage, victim)
    return { records: aloneIn(victim, evidence) }
  }),
  toOne(about('double', 'a record'), recordsOf, async (victim, stage) => {
    await put(stage, victim)
    return { excused: 'again' }
  }),
  ...forgeries,
  swap(about('swap', 'two records'), recordsOf, otherOrder, () => ({ records: [] })),
  toOne(about('edit', 'the numbers of a record'), recordsOf, async (victim, stage, evidence) => {
    const { entries, ...rest } = decodeLedgerRecord(victim.body)
    const moved = entries.map((entry) => ({ ...entry, sequence: entry.sequence + 3_000_000 }))
    await erase(stage, victim)
    await put(stage, { ...victim, body: encodeLedgerRecord({ ...rest, entries: moved }) })
    return { records: aloneIn(victim, evidence) }
  }),
]
