import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { readRoute, subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { findApi, lastOfSubject, NOT_FOUND } from '../../../shared/sdk/jetstream/api.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'
import { patiently } from '../dead-letters/patience.ts'
import type { SentReplay } from './holds.ts'

/** What the register of an event holds. */
export interface RegisterState {
  readonly kind: 'empty' | 'notice' | 'prediction'
  /** 0 when it is empty. */
  readonly sequence: number
}

export async function readRegister(
  connection: NatsConnection,
  model: string,
  token: string,
): Promise<RegisterState> {
  const copy = await patiently(() =>
    lastOfSubject(connection, STREAMS.results, subjects.result(model, token)),
  )
  if (copy === undefined) return { kind: 'empty', sequence: 0 }
  const outcome = readHeader(parseHeaderBlock(copy.headerBlock), HEADERS.outcome)
  return { kind: outcome === 'dead-letter' ? 'notice' : 'prediction', sequence: copy.sequence }
}

interface Sent {
  readonly token: string
  readonly sent: SentReplay
}

/** Messages looked at in FEATURES at most: beyond it a replay is sent again, and the register refuses the second. */
const MOST_LOOKED_AT = 20_000

/**
 * Which of these replays wait in FEATURES or RETRIES, or are in the hands of a worker. Whoever is not named was never
 * stored, or has ended: read the register *afterwards* to tell.
 *
 * @returns their tokens, and the sequence in FEATURES of those that wait there
 */
export async function findOnTheirWay(
  connection: NatsConnection,
  task: string,
  replays: readonly Sent[],
): Promise<Map<string, number | undefined>> {
  const found = new Map<string, number | undefined>()
  const starts = new Map<string, number>()
  for (const { sent } of replays)
    starts.set(sent.subject, Math.min(sent.after + 1, starts.get(sent.subject) ?? Number.MAX_SAFE_INTEGER))
  for (const [subject, from] of starts)
    for (const [token, at] of await waitingInFeatures(connection, task, subject, from)) found.set(token, at)
  await Promise.all(
    replays.map(async ({ token, sent }) => {
      if (!found.has(token) && (await waitsInRetries(connection, token, sent.subject)))
        found.set(token, undefined)
    }),
  )
  return found
}

async function waitingInFeatures(
  connection: NatsConnection,
  task: string,
  subject: string,
  from: number,
): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (let sequence = from, looked = 0; looked < MOST_LOOKED_AT; looked++) {
    const asked = { seq: sequence, next_by_subj: subject }
    const reply = await patiently(() =>
      findApi<{ readonly message: { seq: number; hdrs?: string } }>(
        connection,
        `STREAM.MSG.GET.${STREAMS.features}`,
        NOT_FOUND.message,
        asked,
      ),
    )
    if (reply === undefined) break
    const headers = parseHeaderBlock(Buffer.from(reply.message.hdrs ?? '', 'base64'))
    if (readHeader(headers, HEADERS.replay) === task)
      found.set(readHeader(headers, HEADERS.token) ?? '', reply.message.seq)
    sequence = reply.message.seq + 1
  }
  return found
}

/** Whether the message of this sequence is in FEATURES still: waiting, or in the hands of a worker. */
export async function isInFeatures(connection: NatsConnection, sequence: number): Promise<boolean> {
  const asked = { seq: sequence }
  const reply = await patiently(() =>
    findApi(connection, `STREAM.MSG.GET.${STREAMS.features}`, NOT_FOUND.message, asked),
  )
  return reply !== undefined
}

/** A schedule becomes the due message, and one that fails again a schedule: looked for in the order they change. */
export async function waitsInRetries(
  connection: NatsConnection,
  token: string,
  subject: string,
): Promise<boolean> {
  const route = readRoute(subject)
  if (route === undefined) return false
  const schedule = subjects.retry(route, token)
  for (const where of [schedule, subjects.due(route, token), schedule]) {
    const copy = await patiently(() => lastOfSubject(connection, STREAMS.retries, where))
    if (copy !== undefined) return true
  }
  return false
}
