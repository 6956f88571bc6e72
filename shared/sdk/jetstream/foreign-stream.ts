import type { StreamSpec } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'

/** How to have no names of anybody else's. */
export const OWN_NAMES =
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

function listed(subjects: unknown): string {
  return Array.isArray(subjects) ? subjects.join(', ') : 'none'
}
