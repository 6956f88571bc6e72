import { randomBytes } from 'node:crypto'
import type { NatsConnection } from '@nats-io/transport-node'
import { patiently } from '../../../shared/operations/broker/patience.ts'
import { compareAndSet } from '../../../shared/operations/records/compare-and-set.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { ApiRefusal, lastOfSubject, NOT_FOUND } from '../../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { notOnBroker } from '../../../shared/sdk/jetstream/not-on-broker.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'

const BYTES = 32
const LEAST_CHARACTERS = 16
const STREAM = STORES.requests

/** A secret that an operator gives. @throws PeltonError `invalid-argument` for one that is easily guessed */
export function checkSecret(secret: string): string {
  if (secret.length >= LEAST_CHARACTERS) return secret
  throw new PeltonError('invalid-argument', 'the secret that handles are signed with is too short', {
    field: 'secret',
    value: `${secret.length} characters`,
    remedy: `Give ${LEAST_CHARACTERS} characters or more, or none at all: then the gateways share one of their own.`,
  })
}

/**
 * The secret that all gateways sign with: the first one makes it, every other one reads it.
 *
 * @throws PeltonError `not-provisioned` without its bucket, `broker-unavailable`
 */
export async function sharedSecret(connection: NatsConnection): Promise<string> {
  const window = new PublishWindow(connection)
  const subject = subjects.gatewaySecret()
  try {
    for (;;) {
      const found = await readSecret(connection, subject)
      if (found.secret !== '') return found.secret
      const body = Buffer.from(randomBytes(BYTES).toString('base64url'))
      const { revision: expected } = found
      const stored = await compareAndSet(connection, window, { stream: STREAM, subject, body, expected })
      if (stored !== undefined) return body.toString()
    }
  } finally {
    window.close()
  }
}

/** An operator who removed the key leaves a marker without a body. */
async function readSecret(
  connection: NatsConnection,
  subject: string,
): Promise<{ readonly secret: string; readonly revision: number }> {
  try {
    const copy = await patiently(() => lastOfSubject(connection, STREAM, subject))
    return { secret: Buffer.from(copy?.body ?? []).toString(), revision: copy?.sequence ?? 0 }
  } catch (thrown) {
    if (!(thrown instanceof ApiRefusal) || thrown.code !== NOT_FOUND.stream) throw thrown
    throw notOnBroker(`stream ${namesOf(connection).stream(STREAM)}`, thrown)
  }
}
