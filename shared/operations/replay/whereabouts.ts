import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../sdk/contract/headers.ts'
import { readRoute, subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { findApi, lastOfSubject, NOT_FOUND } from '../../sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../sdk/jetstream/stored-message.ts'
import { patiently } from '../broker/patience.ts'
import type { Place, SentReplay } from '../records/holds.ts'

interface Sent {
  readonly token: string
  readonly sent: SentReplay
}

/** Messages looked at in FEATURES at most: beyond it a replay is sent again, and the register refuses the second. */
const MOST_LOOKED_AT = 20_000

/**
 * Which of these replays wait in FEATURES or RETRIES, or are in the hands of a worker. One that is not named was never
 * stored, or has ended: read the register *afterwards* to tell.
 *
 * @returns their tokens, and where they are
 */
export async function findOnTheirWay(
  connection: NatsConnection,
  task: string,
  replays: readonly Sent[],
): Promise<Map<string, Place>> {
  const found = new Map<string, Place>()
  const starts = new Map<string, number>()
  for (const { sent } of replays)
    starts.set(sent.subject, Math.min(sent.after + 1, starts.get(sent.subject) ?? Number.MAX_SAFE_INTEGER))
  for (const [subject, from] of starts)
    for (const [token, at] of (await waitingInFeatures(connection, task, subject, from)).found)
      found.set(token, at)
  await Promise.all(
    replays.map(async ({ token, sent }) => {
      if (!found.has(token) && (await waitsInRetries(connection, token, sent.subject)))
        found.set(token, 'past-features')
    }),
  )
  return found
}

/**
 * Whether one replay is on its way; true also where FEATURES holds too much to be sure. Where it is not, it was never
 * stored, or has ended: read the register *afterwards* to tell.
 *
 * @param place where it was last
 */
export async function isOnItsWay(
  connection: NatsConnection,
  task: string,
  { token, sent }: Sent,
  place: Place | undefined = sent.place,
): Promise<boolean> {
  if (place === undefined) {
    const { subject, after } = sent
    const { found, isWhole } = await waitingInFeatures(connection, task, subject, after + 1)
    if (!isWhole || found.has(token)) return true
  } else if (place !== 'past-features' && (await isInFeatures(connection, place, token))) return true
  return waitsInRetries(connection, token, sent.subject)
}

async function waitingInFeatures(
  connection: NatsConnection,
  task: string,
  subject: string,
  from: number,
): Promise<{ readonly found: ReadonlyMap<string, number>; readonly isWhole: boolean }> {
  const found = new Map<string, number>()
  for (let sequence = from, looked = 0; looked < MOST_LOOKED_AT; looked++) {
    const stored = await findFeature(connection, { seq: sequence, next_by_subj: subject })
    if (stored === undefined) return { found, isWhole: true }
    if (readHeader(stored.headers, HEADERS.replay) === task)
      found.set(readHeader(stored.headers, HEADERS.token) ?? '', stored.sequence)
    sequence = stored.sequence + 1
  }
  return { found, isWhole: false }
}

/** Whether a copy is in FEATURES still: waiting, or in the hands of a worker. A stream made anew has others there. */
async function isInFeatures(connection: NatsConnection, sequence: number, token: string): Promise<boolean> {
  const stored = await findFeature(connection, { seq: sequence })
  return stored !== undefined && readHeader(stored.headers, HEADERS.token) === token
}

async function findFeature(
  connection: NatsConnection,
  asked: { readonly seq: number; readonly next_by_subj?: string },
): Promise<{ readonly sequence: number; readonly headers: Headers } | undefined> {
  const reply = await patiently(() =>
    findApi<{ readonly message: { seq: number; hdrs?: string } }>(
      connection,
      `STREAM.MSG.GET.${STREAMS.features}`,
      NOT_FOUND.message,
      asked,
    ),
  )
  if (reply === undefined) return undefined
  const headers = parseHeaderBlock(Buffer.from(reply.message.hdrs ?? '', 'base64'))
  return { sequence: reply.message.seq, headers }
}

/** A schedule becomes the due message, and one that fails again a schedule: looked for in the order they change. */
async function waitsInRetries(connection: NatsConnection, token: string, subject: string): Promise<boolean> {
  const route = readRoute(subject)
  if (route === undefined) return false
  const schedule = subjects.retry(route, token)
  for (const where of [schedule, subjects.due(route, token), schedule]) {
    const copy = await patiently(() => lastOfSubject(connection, STREAMS.retries, where))
    if (copy !== undefined) return true
  }
  return false
}
