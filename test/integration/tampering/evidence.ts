import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord, type LedgerEntry } from '../../../shared/sdk/contract/ledger.ts'
import { outcomeDigest, withoutBrokerLines } from '../../../shared/sdk/contract/outcome-digest.ts'
import { tokenOfSubject } from '../../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { encodedHeaders } from '../../../shared/sdk/jetstream/encoded-headers.ts'
import { type HistoryStage, tokenOf as tokenOfId } from './history-stage.ts'
import { readStored, type Stored } from './stored.ts'

/** One line of the ledger, and the record it stands in. */
export interface Entry extends LedgerEntry {
  readonly stream: string
  readonly epoch: string
  readonly record: number
}

/** All that lies in the streams, and what the ledger says of it. */
export interface Evidence {
  readonly epoch: string
  readonly of: (stream: string) => readonly Stored[]
  readonly entries: readonly Entry[]
  /** Tokens that a replay has, or had. */
  readonly replayed: ReadonlySet<string>
}

/** Buckets that an audit reads, or that say what became of an event: those of gateways are neither. */
export const AUDITED_STORES = [STORES.models, STORES.starts, STORES.replays] as const

/** Every stream that holds something of an event. */
export const ALL_STREAMS = [
  ...Object.values(STREAMS).filter((stream) => stream !== STREAMS.advisories),
  ...AUDITED_STORES,
]

export async function readEvidence(stage: HistoryStage): Promise<Evidence> {
  const streams = new Map<string, Stored[]>()
  for (const stream of ALL_STREAMS) streams.set(stream, await readStored(stage.connection, stream))
  const of = (stream: string): Stored[] => streams.get(stream) ?? []
  const entries = of(STREAMS.ledger).flatMap(entriesOf)
  const held = of(STORES.replays).filter(({ subject }) => subject.includes('.held.'))
  const replayed = entries.flatMap(({ token, outcome }) =>
    token !== undefined && outcome === 'replayed' ? [token] : [],
  )
  const epoch = (await streamInfo(stage.connection, STREAMS.features))?.created ?? ''
  return {
    epoch,
    of,
    entries,
    replayed: new Set([...held.map(({ subject }) => tokenOfSubject(subject)), ...replayed]),
  }
}

function entriesOf({ body, sequence: record }: Stored): Entry[] {
  try {
    const { stream, epoch, entries } = decodeLedgerRecord(body)
    return entries.map((entry) => ({ ...entry, stream, epoch, record }))
  } catch {
    return [] // somebody put something there that is none
  }
}

/** Removes a message past everything Pelton does. From a bucket, which forbids that, by purging its key. */
export async function erase(
  { connection }: HistoryStage,
  { stream, subject, sequence }: Stored,
): Promise<void> {
  if (stream.startsWith('KV_')) await requestApi(connection, `STREAM.PURGE.${stream}`, { filter: subject })
  else await requestApi(connection, `STREAM.MSG.DELETE.${stream}`, { seq: sequence })
}

/** Stores a message past everything Pelton does, its header lines as they are. @returns its sequence */
export async function put(
  { connection }: HistoryStage,
  { subject, headerBlock, body }: Pick<Stored, 'subject' | 'headerBlock' | 'body'>,
): Promise<number> {
  const lines = withoutBrokerLines(headerBlock)
  const block = headerBlock.length > 0 ? { headers: encodedHeaders(lines) } : {}
  const reply = await connection.request(subject, body, { ...block, timeout: 5_000 })
  const { seq, error } = reply.json<{ seq?: number; error?: { description: string } }>()
  if (seq === undefined) throw new Error(`${subject}: ${error?.description}`)
  return seq
}

/** A copy that is still scheduled is stored as one again: its lines for the broker are needed. */
export async function putScheduled(
  stage: HistoryStage,
  { subject, headerBlock, body }: Stored,
): Promise<void> {
  const block = { headers: encodedHeaders(headerBlock), timeout: 5_000 }
  const reply = await stage.connection.request(subject, body, block)
  if (reply.json<{ seq?: number }>().seq === undefined) throw new Error(reply.string())
}

export const digestOfStored = ({ headerBlock, body }: Stored): number => outcomeDigest(headerBlock, body)

/** The sequence of today's FEATURES an outcome says that it comes from. */
export function originIn(epoch: string, { headers }: Stored): number | undefined {
  const [stream, of, sequence] = readHeader(headers, HEADERS.origin)?.split(' ') ?? []
  return stream === STREAMS.features && of === epoch ? Number(sequence) : undefined
}

export function isPrediction({ headers }: Stored): boolean {
  return readHeader(headers, HEADERS.outcome) === 'prediction'
}

/** Waiting events the ledger says nothing of: with them, they are gone. */
export function unsettled({ of, entries, epoch }: Evidence): Stored[] {
  const named = entries.filter((one) => one.stream === STREAMS.features && one.epoch === epoch)
  const settled = new Set(named.map(({ sequence }) => sequence))
  return of(STREAMS.features).filter(({ sequence }) => !settled.has(sequence))
}

/** The last message of each register. */
export function lastResults(evidence: Evidence): Stored[] {
  return [...new Map(evidence.of(STREAMS.results).map((one) => [one.subject, one])).values()]
}

/** Whether a register holds something for this event. */
export function isAnswered(evidence: Evidence, token: string): boolean {
  return lastResults(evidence).some((one) => tokenOf(one) === token)
}

/** The last message of each register whose digest the ledger has: what is done to it, it must show. */
export function provenResults(evidence: Evidence): Stored[] {
  const known = new Set(evidence.entries.map(({ digest }) => digest))
  return lastResults(evidence).filter((one) => known.has(digestOfStored(one)))
}

/** Dead letters whose digest the ledger has, of events that were not predicted since. */
export function provenLetters(evidence: Evidence): Stored[] {
  const known = new Set(evidence.entries.map(({ letterDigest }) => letterDigest))
  const predicted = new Set(lastResults(evidence).filter(isPrediction).map(tokenOf))
  return evidence
    .of(STREAMS.deadLetters)
    .filter((letter) => known.has(digestOfStored(letter)) && !predicted.has(tokenOf(letter)))
}

export function tokenOf({ subject }: Stored): string {
  return tokenOfSubject(subject)
}

/** The token of an event that waits in FEATURES: its own, or the one its replay names. */
export function tokenOfEvent({ headers }: Stored): string {
  return readHeader(headers, HEADERS.token) ?? tokenOfId(readHeader(headers, HEADERS.id) ?? '')
}

/** Tokens of events that will be delivered, the first time or once more. */
export function waitingTokens({ of }: Evidence): ReadonlySet<string> {
  return new Set([...of(STREAMS.features).map(tokenOfEvent), ...of(STREAMS.retries).map(tokenOf)])
}

/** The names an audit may call an event by. */
export function namesOf(evidence: Evidence, stored: Stored): string[] {
  const [stream, epoch, sequence] = readHeader(stored.headers, HEADERS.origin)?.split(' ') ?? []
  if (stream !== STREAMS.features) return [tokenOf(stored)]
  return [tokenOf(stored), epoch === evidence.epoch ? `#${sequence}` : `${epoch}#${sequence}`]
}

/** All there is of one event, in lines: for whoever has to understand a verdict. */
export async function tellOf(stage: HistoryStage, token: string): Promise<string> {
  const evidence = await readEvidence(stage)
  const origins = new Set<string>()
  const lines = ALL_STREAMS.filter((stream) => stream !== STREAMS.ledger).flatMap((stream) =>
    evidence.of(stream).flatMap((one) => {
      const isOfIt =
        one.subject.endsWith(token) || (stream === STREAMS.features && one.headers.has('pelton-replay'))
      if (!isOfIt) return []
      const of = (name: string): string => readHeader(one.headers, name) ?? '-'
      const origin = of(HEADERS.origin)
      origins.add(origin)
      const digest = digestOfStored(one)
      return [
        `${stream} ${one.sequence} ${one.subject} outcome ${of(HEADERS.outcome)} origin ${origin} digest ${digest} ` +
          `time ${of(HEADERS.time)} failed ${of(HEADERS.failedAt)} supersedes ${of(HEADERS.supersedes)} ` +
          `replay ${of(HEADERS.replay)}${stream.startsWith('KV_') ? ` ${Buffer.from(one.body)}` : ''}`,
      ]
    }),
  )
  const entries = evidence.entries.filter(
    (entry) => entry.token === token || origins.has(`${entry.stream} ${entry.epoch} ${entry.sequence}`),
  )
  return [...lines, ...entries.map((entry) => JSON.stringify(entry))].join('\n')
}
