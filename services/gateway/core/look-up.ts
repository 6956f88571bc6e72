import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { encodeSegment, subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { ApiRefusal, findApi, lastOfSubject, NOT_FOUND } from '../../../shared/sdk/jetstream/api.ts'
import { notOnBroker } from '../../../shared/sdk/jetstream/not-on-broker.ts'
import { lookIntoRegister } from '../../../shared/sdk/jetstream/register.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'
import { readResult, type StoredResult } from '../../../shared/sdk/result.ts'
import type { Handle } from './handles.ts'

/** What became of an event. */
export type Whereabouts = { readonly kind: 'answered'; readonly result: StoredResult } | 'waiting' | 'gone'

/** Between the two times that nothing was found, milliseconds: a stream whose leader has just changed may be behind. */
const PAUSE_MS = 100

/**
 * Where an event is. It moves one way only: a worker acknowledges a delivery once its outcome, or a copy in RETRIES, is
 * stored; a copy that is due is stored before its schedule is removed, and the next schedule before the copy that was due is
 * acknowledged. So an event that was not in FEATURES, and then was in no place of RETRIES at one moment, had its outcome by
 * then: the look at the register that comes last finds it, unless it is kept no longer. The look at the register that comes
 * first only saves the others.
 *
 * @throws PeltonError `broker-unavailable`, `not-provisioned`
 */
export async function findEvent(connection: NatsConnection, handle: Handle): Promise<Whereabouts> {
  try {
    const found = (await answerOf(connection, handle)) ?? (await lookThrough(connection, handle))
    if (found !== 'gone') return found
    await sleep(PAUSE_MS)
    return await lookThrough(connection, handle)
  } catch (thrown) {
    throw lookError(thrown)
  }
}

async function lookThrough(connection: NatsConnection, handle: Handle): Promise<Whereabouts> {
  if (await isInFeatures(connection, handle)) return 'waiting'
  if (await isInRetries(connection, handle)) return 'waiting'
  return (await answerOf(connection, handle)) ?? 'gone'
}

async function answerOf(
  connection: NatsConnection,
  { model, token }: Handle,
): Promise<Whereabouts | undefined> {
  const register = subjects.result(model, token)
  const { outcome, newer } = await lookIntoRegister(connection, register)
  const result = outcome && readResult(register, outcome.headers, outcome.body)
  if (result !== undefined) return { kind: 'answered', result }
  if (newer === undefined) return undefined
  throw new PeltonError('internal', 'the outcome is of a contract that this gateway does not read', {
    field: HEADERS.contract,
    value: newer,
    remedy: 'Update the gateway: it is older than the workers.',
  })
}

/** A stream that was made anew has another event at this position. */
async function isInFeatures(connection: NatsConnection, { sequence, token }: Handle): Promise<boolean> {
  const subject = `STREAM.MSG.GET.${STREAMS.features}`
  const asked = { seq: sequence }
  const reply = await findApi<{ readonly message: { readonly hdrs?: string } }>(
    connection,
    subject,
    NOT_FOUND.message,
    asked,
  )
  if (reply === undefined) return false
  const headers = parseHeaderBlock(Buffer.from(reply.message.hdrs ?? '', 'base64'))
  return readHeader(headers, HEADERS.messageId) === token
}

/**
 * One question for both places, or an event could go from one to the other and back between two; and for every pool and
 * lane, as who sent an event again, perhaps for others, has a handle with those that it asked for.
 */
async function isInRetries(connection: NatsConnection, { model, token }: Handle): Promise<boolean> {
  const wherever = `*.*.${encodeSegment(model, 'model')}.*.${token}`
  return (await lastOfSubject(connection, STREAMS.retries, wherever)) !== undefined
}

function lookError(thrown: unknown): unknown {
  if (!(thrown instanceof ApiRefusal)) return thrown
  if (thrown.code === NOT_FOUND.stream) return notOnBroker('a stream of Pelton', thrown)
  return new PeltonError('broker-unavailable', `the broker cannot tell now: ${thrown.message}`, {}, thrown)
}
