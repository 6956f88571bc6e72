import type { NatsConnection } from '@nats-io/transport-node'
import { type Finding, fail, isRefusedByRights, ok } from '../../../shared/operations/broker/finding.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { findApi, NOT_FOUND } from '../../../shared/sdk/jetstream/api.ts'
import { namedRequest } from '../../../shared/sdk/jetstream/api-names.ts'
import { apiSubject } from '../../../shared/sdk/jetstream/domain.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'

/** Requests that change nothing, and what they are needed for. */
const HARMLESS: readonly {
  readonly subject: string
  readonly notFound: number
  readonly body: unknown
  readonly for: string
}[] = [
  ...Object.values(STREAMS).map((name) => ({
    subject: `STREAM.INFO.${name}`,
    notFound: NOT_FOUND.stream,
    body: {},
    for: 'status, doctor',
  })),
  {
    subject: `CONSUMER.LIST.${STREAMS.features}`,
    notFound: NOT_FOUND.stream,
    body: { offset: 0 },
    for: 'status, doctor',
  },
  {
    subject: `STREAM.MSG.GET.${STREAMS.deadLetters}`,
    notFound: NOT_FOUND.message,
    body: { last_by_subj: subjects.deadLetter('none', 'none') },
    for: 'dead-letters show',
  },
  {
    subject: `STREAM.MSG.GET.${STORES.keys}`,
    notFound: NOT_FOUND.message,
    body: { last_by_subj: subjects.apiKeys() },
    for: 'keys list',
  },
  {
    subject: `STREAM.MSG.GET.${STORES.requests}`,
    notFound: NOT_FOUND.message,
    body: { last_by_subj: subjects.supersededMark('none') },
    for: 'replay',
  },
]

/** Whether this user may do what control does, tried with requests that change nothing. */
export async function checkRights(connection: NatsConnection): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const { subject, notFound, body, for: purpose } of HARMLESS) {
    try {
      await findApi(connection, subject, notFound, body)
    } catch (thrown) {
      // Something else than a missing right is what the other checks are for.
      if (!isRefusedByRights(thrown)) continue
      const remedy = 'Use a user with the rights of control (infra/nats), or give this one more.'
      // The right that is missing is one on the subject that the broker saw.
      const asked = apiSubject(connection, namedRequest(namesOf(connection), { subject, body }).subject)
      findings.push(fail('rights', `${asked} is refused, needed for: ${purpose}`, remedy))
    }
  }
  return findings.length > 0 ? findings : [ok('rights', 'this user may read what control reads')]
}
