import type { StreamSpec } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'

/** How to have no names of anybody else's. */
export const OWN_NAMES =
  'Set PELTON_PREFIX, which gives Pelton names of its own, for all its processes; or use another account.'

/**
 * A stream that is there under the name of one of Pelton's and takes none of its subjects: somebody else's. Both are as the
 * broker has them: the plain name of a subject that has no prefix would be that of one that has.
 */
export function isForeign(spec: StreamSpec, present: Readonly<Record<string, unknown>>): boolean {
  const subjects = Array.isArray(present.subjects) ? present.subjects : []
  return !spec.subjects.some((subject) => subjects.includes(subject))
}

/** Says whose name is taken, and which subjects that stream takes. */
export function nameTaken(spec: StreamSpec, present: Readonly<Record<string, unknown>>): PeltonError {
  return new PeltonError('not-provisioned', `a stream that is none of Pelton's has the name ${spec.name}`, {
    field: 'subjects',
    value: subjectsOf(present),
    remedy: OWN_NAMES,
  })
}

/** Subjects that a stream takes, for people. */
export function subjectsOf({ subjects }: Readonly<Record<string, unknown>>): string {
  return Array.isArray(subjects) && subjects.length > 0 ? subjects.join(', ') : 'none'
}
