import type { Names } from './names.ts'
import type { Right, UserRights } from './table.ts'

/** What somebody may do, in one or several groups of subjects. */
export function right(why: string, ...groups: readonly (readonly string[])[]): Right {
  return { why, subjects: groups.flat() }
}

/** Requests for each of some streams. */
export function each(
  names: Names,
  streams: Iterable<string>,
  ...requests: readonly string[]
): readonly string[] {
  return [...streams].flatMap((stream) =>
    requests.flatMap((request) => names.api(request.replace('{stream}', stream))),
  )
}

type Named = Pick<UserRights, 'user' | 'inbox'>

/** The user of a role, and its inbox. */
export function named(names: Names, role: string): Named {
  const user = names.userOf(role)
  return { user, inbox: names.inboxOf(user) }
}

/** Its inbox, and what else it may hear. */
export function listening({ inbox }: Named, ...more: readonly Right[]): readonly Right[] {
  return [right('its inbox', [`${inbox}.>`]), ...more]
}

/** Keys of a bucket, and no others, through consumers of one's own. */
export function following({ api, subject }: Names, store: string, keys: string): readonly string[] {
  return [...api(`CONSUMER.CREATE.${store}.*.${subject(keys)}`), ...api(`CONSUMER.MSG.NEXT.${store}.*`)]
}
