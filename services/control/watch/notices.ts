import type { NatsConnection } from '@nats-io/transport-node'
import { isByOperator } from '../../../shared/operations/audit/accounts.ts'
import { isRetryWaiting, isStored, thoseThat } from '../../../shared/operations/audit/waiting.ts'
import { readMessages } from '../../../shared/operations/broker/stream-reader.ts'
import { parseOrigin } from '../../../shared/operations/dead-letters/origin.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import type { NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import type { OpenNotice } from '../../../shared/operations/watch-record/record.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord } from '../../../shared/sdk/contract/ledger.ts'
import { readOutcomeSubject, subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { lastOfSubject } from '../../../shared/sdk/jetstream/api.ts'

/** Notices that may be open at once; beyond it, reading waits. */
export const MAX_OPEN = 500
/** One look may find the event between two places: the second look decides. */
const MISSES = 2

export interface NoticeScan {
  /** First sequence of RESULTS that was not read. */
  readonly next: number
  readonly found: readonly OpenNotice[]
}

export interface ScanLimits {
  /** Results stored later than this (broker milliseconds) are left for another look. */
  readonly olderThan: number
  /** Results read at most. */
  readonly atMost: number
  /** Notices without a dead letter that are taken on at most. */
  readonly room: number
}

/** Reads RESULTS on, headers only, and returns the failure notices whose dead letter is not there. */
export async function scanNotices(
  connection: NatsConnection,
  from: number,
  { olderThan, atMost, room }: ScanLimits,
): Promise<NoticeScan> {
  const found: OpenNotice[] = []
  let page: OpenNotice[] = []
  let [next, read] = [from, 0]
  const settlePage = async (): Promise<void> => {
    found.push(...(await thoseThat(page, async (notice) => !(await hasDeadLetter(connection, notice)))))
    page = []
  }
  const start = { deliver_policy: 'by_start_sequence', opt_start_seq: from }
  const messages = readMessages(connection, {
    stream: STREAMS.results,
    subject: subjects.resultFilter(),
    start,
    headersOnly: true,
  })
  for await (const { subject, sequence, storedAt, headers } of messages) {
    if (Date.parse(storedAt) > olderThan) break
    next = sequence + 1
    const named = readOutcomeSubject(subject)
    if (named !== undefined && readHeader(headers, HEADERS.outcome) === 'dead-letter') {
      const origin = readHeader(headers, HEADERS.origin) ?? ''
      page.push({ ...named, sequence, origin, at: storedAt, missed: 0 })
    }
    if (page.length >= Math.min(PAGE, room)) await settlePage()
    if (++read >= atMost || found.length >= room) break
  }
  await settlePage()
  return { next, found }
}

const PAGE = 200

function hasDeadLetter(connection: NatsConnection, { model, token }: OpenNotice): Promise<boolean> {
  return isStored(connection, STREAMS.deadLetters, { last_by_subj: subjects.deadLetter(model, token) })
}

/**
 * Looks for each open notice again. Those whose dead letter is there, or whose event was replayed, discarded or purged,
 * or has another outcome, are closed; the rest stay, and count a miss when the event waits nowhere either. That the
 * notice itself expires ends nothing: its event is without its dead letter as before.
 */
export async function reviewNotices(store: OpsStore, open: readonly OpenNotice[]): Promise<OpenNotice[]> {
  const waiting = new Set(await thoseThat(open, (notice) => isWaiting(store, notice)))
  const stillOpen = await thoseThat(open, (notice) => isUnanswered(store, notice))
  const { ended, readTo } = await endedByOperators(store.connection, stillOpen)
  return stillOpen
    .filter(({ token }) => !ended.has(token))
    .map((notice) => ({
      ...notice,
      missed: waiting.has(notice) ? 0 : notice.missed + 1,
      ...(readTo !== undefined && { readTo }),
    }))
}

/** In the order in which an event moves: FEATURES, a schedule, due; and a replay that has it in its hands. */
async function isWaiting(
  { connection, keyValue }: OpsStore,
  { token, origin }: OpenNotice,
): Promise<boolean> {
  const from = parseOrigin(origin)
  const isFeature = from?.stream === STREAMS.features
  if (isFeature && (await isStored(connection, STREAMS.features, { seq: from.sequence }))) return true
  if (await isRetryWaiting(connection, token)) return true
  return (await keyValue.get(`held.${token}`)) !== undefined
}

/** The dead letter is looked for before the register: a replay stores its outcome before it removes the letter. */
async function isUnanswered({ connection }: OpsStore, notice: OpenNotice): Promise<boolean> {
  if (await hasDeadLetter(connection, notice)) return false
  const last = await lastOfSubject(connection, STREAMS.results, subjects.result(notice.model, notice.token))
  return last === undefined || last.sequence === notice.sequence
}

/** Reads the ledger on, each record once for all of them: tokens that it says an operator ended, and how far it was read. */
async function endedByOperators(
  connection: NatsConnection,
  notices: readonly OpenNotice[],
): Promise<{ readonly ended: ReadonlySet<string>; readonly readTo: string | undefined }> {
  const ended = new Set<string>()
  const [oldest] = notices.map(({ at, readTo = at }) => readTo).sort()
  let readTo = oldest
  if (oldest === undefined) return { ended, readTo }
  const start = { deliver_policy: 'by_start_time', opt_start_time: oldest }
  const records = readMessages(connection, { stream: STREAMS.ledger, subject: subjects.allLedger(), start })
  for await (const { body, storedAt } of records) {
    readTo = storedAt
    for (const { outcome, token = '' } of readRecord(body)) if (isByOperator(outcome)) ended.add(token)
  }
  return { ended, readTo }
}

function readRecord(body: Uint8Array) {
  try {
    return decodeLedgerRecord(body).entries
  } catch {
    return [] // not a record of this contract: it ends nothing
  }
}

/** Notices that two looks found without dead letter and without event, as one alert. */
export function noticeAlert(open: readonly OpenNotice[]): NewAlert | undefined {
  const lost = open.filter(({ missed }) => missed >= MISSES)
  const [first] = lost
  if (first === undefined) return undefined
  const more = lost.length >= MAX_OPEN ? ', at least' : ''
  const plural = lost.length === 1 ? 'failure notice has' : 'failure notices have'
  return {
    kind: 'notice-without-dead-letter',
    about: STREAMS.deadLetters,
    text: `${showCount(lost.length)} ${plural} no dead letter${more}, and the events wait nowhere: the first is ${first.token} of ${first.model}, stored ${first.at}`,
    remedy:
      'Somebody removed the dead letters by other means than Pelton, or this is a defect: report it with `pelton audit --deep`. ' +
      'Where the producer still has the events, publish them under new ids; or import an export that has them. ' +
      'Or say that it is meant so: `pelton audit --deep --purged <sequences> --reason <why>`.',
    count: lost.length,
  }
}
