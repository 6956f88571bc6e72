import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, type Headers, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { type KeyScope, keyedId } from '../../../shared/sdk/contract/keyed-id.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../../shared/sdk/contract/token.ts'
import type { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import {
  type InRegister,
  lookIntoNewRegister,
  lookIntoRegister,
} from '../../../shared/sdk/jetstream/register.ts'
import { readResult, type StoredResult } from '../../../shared/sdk/result.ts'
import { otherBody } from './key-refusals.ts'
import type { KeyedRequest } from './keyed-request.ts'
import { mayBeTriedAgain } from './may-be-tried-again.ts'

/** A keyed request, and what its claim is known by. */
export interface Asked extends Omit<KeyedRequest, 'data'> {
  /** Of the key and what it counts within. */
  readonly digest: string
  /** Digest of its data: what outcomes have as `Pelton-Input-Digest`. */
  readonly body: string
  /** This claim, and no other. */
  readonly by: string
  /** How long an entry of it is of use, milliseconds since 1970. */
  readonly until: number
}

/**
 * How far a key has come by the register: the first attempt that is not answered (`open`), or whose answer is of a newer
 * major of the contract (`unreadable`), or the answer that holds.
 */
export type Standing =
  | { readonly kind: 'open' | 'unreadable'; readonly attempt: number; readonly id: string }
  | { readonly kind: 'answered'; readonly id: string; readonly result: StoredResult }

/** Attempts of one key that are looked at. After so many the last answer holds, whatever it is. */
export const MOST_ATTEMPTS = 100

/** What the register holds of the first attempt: most likely nothing. @throws ApiRefusal, PeltonError `broker-unavailable` */
export function lookAtFirst(
  connection: NatsConnection,
  window: PublishWindow,
  asked: Asked,
): Promise<InRegister> {
  return lookIntoNewRegister(connection, window, registerOf(asked, 1))
}

/** The same for one that may never be claimed. @throws ApiRefusal, PeltonError `broker-unavailable` */
export function readFirst(connection: NatsConnection, scope: KeyScope, digest: string): Promise<InRegister> {
  return lookIntoRegister(connection, registerOf({ ...scope, digest }, 1))
}

function registerOf(
  { model, source, digest }: Pick<Asked, 'model' | 'source' | 'digest'>,
  attempt: number,
): string {
  return subjects.result(model, eventToken(model, source, keyedId({ digest, attempt })))
}

/**
 * Looks into the register attempt by attempt, while the answer is one that may be tried again.
 *
 * @param first what the register of attempt `from` holds, where it was read already and `from` is 1
 * @throws Refusal 422 for an answer to another body; ApiRefusal, PeltonError `broker-unavailable`
 */
export async function standingOf(
  connection: NatsConnection,
  asked: Asked,
  from: number,
  first?: InRegister,
): Promise<Standing> {
  for (let attempt = from; ; attempt++) {
    const isKnown = first !== undefined && attempt === 1
    const { outcome, newer } = isKnown
      ? first
      : await lookIntoRegister(connection, registerOf(asked, attempt))
    const result = outcome && readResult(registerOf(asked, attempt), outcome.headers, outcome.body)
    const id = keyedId({ digest: asked.digest, attempt })
    if (result === undefined) return { kind: newer === undefined ? 'open' : 'unreadable', attempt, id }
    if (!isOf(asked, result.headers)) throw otherBody(asked)
    if (!mayBeTriedAgain(result) || attempt >= MOST_ATTEMPTS) return { kind: 'answered', id, result }
  }
}

/** Also where an operator's replay edited it since: then the outcome tells the digest of the first. */
function isOf({ body }: Asked, headers: Headers): boolean {
  return [HEADERS.inputDigest, HEADERS.originalDigest].some((name) => readHeader(headers, name) === body)
}
