import type { NatsConnection } from '@nats-io/transport-node'
import type { StreamSpec } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import { type ApiRefusal, requestApi } from './api.ts'
import { namesOf } from './names-of.ts'

const OWN_NAMES =
  'Set PELTON_PREFIX, which gives Pelton names of its own, for all its processes; or use another account.'

/** A stream that is there under the name of one of Pelton's and takes none of its subjects: somebody else's. */
export function isForeign(spec: StreamSpec, present: Readonly<Record<string, unknown>>): boolean {
  const subjects = Array.isArray(present.subjects) ? present.subjects : []
  return !spec.subjects.some((subject) => subjects.includes(subject))
}

/** Says whose name is taken. */
export function nameTaken(spec: StreamSpec, present: Readonly<Record<string, unknown>>): PeltonError {
  return new PeltonError('not-provisioned', `a stream that is none of Pelton's has the name ${spec.name}`, {
    field: 'subjects',
    value: listed(present.subjects),
    remedy: OWN_NAMES,
  })
}

/** The broker's word that another stream takes some of the same subjects. */
export const SUBJECTS_OVERLAP = 10065

/** Says which streams of others take subjects of one of Pelton's, as far as this user may ask. */
export async function subjectsTaken(
  connection: NatsConnection,
  spec: StreamSpec,
  refusal: ApiRefusal,
): Promise<PeltonError> {
  const { subject, stream } = namesOf(connection)
  const taken = await Promise.all(
    spec.subjects.map(async (each) => ({
      subject: subject(each),
      by: (await takersOf(connection, each)).filter((name) => name !== stream(spec.name)),
    })),
  )
  const [first] = taken.filter(({ by }) => by.length > 0)
  const names = [...new Set(taken.flatMap(({ by }) => by))]
  const who = names.length === 0 ? 'another stream' : `stream ${names.join(', ')}`
  const text = `stream ${spec.name} cannot be created: ${who} takes some of its subjects`
  const remedy = names.length === 0 ? `Find it with \`nats stream ls\`. ${OWN_NAMES}` : OWN_NAMES
  const value = first?.subject ?? listed(spec.subjects.map(subject))
  return new PeltonError('not-provisioned', text, { field: 'subjects', value, remedy }, refusal)
}

/** Streams with a subject that overlaps this one; none where the user may not ask. */
async function takersOf(connection: NatsConnection, subject: string): Promise<readonly string[]> {
  const asked = requestApi<{ readonly streams?: readonly string[] | null }>(connection, 'STREAM.NAMES', {
    subject,
  })
  return asked.then(
    ({ streams }) => streams ?? [],
    () => [],
  )
}

function listed(subjects: unknown): string {
  return Array.isArray(subjects) ? subjects.join(', ') : 'none'
}
