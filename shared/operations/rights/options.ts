import { isPrefix, RESERVED_PREFIXES } from '../../sdk/contract/names.ts'
import { encodeSegment, isLane, LANES, type Lane } from '../../sdk/contract/subjects.ts'
import { PeltonError, showValue } from '../../sdk/errors.ts'
import type { Pelton, Publisher } from './names.ts'

/** Whose rights they are. */
export interface RightsOptions {
  /** A Pelton for each, all of them on the same accounts; an empty one for that without a prefix. @default [''] */
  readonly prefixes?: readonly string[] | undefined
  /** @default ['default'] */
  readonly pools?: readonly string[] | undefined
  /** Users that publish events: `<user>`, or `<user>:<lane>,<lane>` for one that has these lanes alone. @default ['producer'] */
  readonly producers?: readonly string[] | undefined
  /** Users of gateways, likewise. @default ['gateway'] */
  readonly gateways?: readonly string[] | undefined
  /** Users that read results. @default ['subscriber'] */
  readonly subscribers?: readonly string[] | undefined
  /** Domain of JetStream. @default none */
  readonly domain?: string | undefined
  /** What the inboxes of all users lie below. @default '_INBOX' */
  readonly inboxPrefix?: string | undefined
  /** All users in one account, where there is no other: nothing is shared then, and producers have to be trusted. */
  readonly oneAccount?: boolean | undefined
}

/** @throws PeltonError `invalid-argument` for the first that cannot be used */
export function resolveOptions(options: RightsOptions): {
  readonly peltons: readonly Pelton[]
  readonly inboxPrefix: string
} {
  const { prefixes = [''], pools = ['default'], domain, inboxPrefix = '_INBOX' } = options
  const { subscribers = ['subscriber'] } = options
  const producers = (options.producers ?? ['producer']).map(readPublisher)
  const gateways = (options.gateways ?? ['gateway']).map(readPublisher)
  for (const prefix of prefixes) checkPrefix(prefix)
  for (const pool of pools) encodeSegment(pool, 'pool')
  for (const user of [...[...producers, ...gateways].map(({ user }) => user), ...subscribers]) checkUser(user)
  if (domain !== undefined) checkDomain(domain)
  checkInboxPrefix(inboxPrefix)
  const peltons = prefixes.map((prefix) => ({
    prefix: prefix === '' ? undefined : prefix,
    ...{ pools, producers, gateways, subscribers, domain, inboxPrefix },
  }))
  return { peltons, inboxPrefix }
}

function readPublisher(text: string): Publisher {
  const [user = '', ...rest] = text.split(':')
  if (rest.length === 0) return { user, lanes: LANES }
  return { user, lanes: readLanes(text, rest.join(':').split(',')) }
}

/** In their order, whatever the order they were given in. */
function readLanes(text: string, given: readonly string[]): readonly Lane[] {
  if (given.every(isLane)) return LANES.filter((lane) => given.includes(lane))
  throw new PeltonError('invalid-argument', 'a user has lanes that are none', {
    field: 'lane',
    value: showValue(text),
    remedy: `Name the user, a colon, and ${LANES.join(', ')} with commas between them: orders:normal,low.`,
  })
}

function checkPrefix(prefix: string): void {
  if (prefix === '' || isPrefix(prefix)) return
  throw new PeltonError('invalid-argument', 'a prefix of this name cannot be used', {
    field: 'prefix',
    value: showValue(prefix),
    remedy: `Use 1 to 32 of [A-Za-z0-9_] that begin with no "_", and none of ${RESERVED_PREFIXES.join(', ')}.`,
  })
}

function checkUser(user: string): void {
  // Below an inbox prefix that is the prefix of a Pelton, its subjects would be the inbox of a user named like them.
  if (/^[A-Za-z0-9_-]+$/.test(user) && !RESERVED_PREFIXES.includes(user)) return
  throw new PeltonError('invalid-argument', 'a user of this name would not have an inbox of its own', {
    field: 'user',
    value: showValue(user),
    remedy: `Use [A-Za-z0-9_-], and none of ${RESERVED_PREFIXES.join(', ')}.`,
  })
}

function checkDomain(domain: string): void {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(domain) && domain !== 'API') return
  throw new PeltonError('invalid-argument', 'a JetStream domain of this name cannot be used', {
    field: 'domain',
    value: showValue(domain),
    remedy:
      'Give it as it stands in the configuration of the servers, one word: `jetstream { domain: hub }`.',
  })
}

function checkInboxPrefix(inboxPrefix: string): void {
  const [root = ''] = inboxPrefix.split('.')
  if (/^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*$/.test(inboxPrefix) && !RESERVED_PREFIXES.includes(root)) return
  throw new PeltonError('invalid-argument', 'replies cannot lie below this', {
    field: 'inbox-prefix',
    value: showValue(inboxPrefix),
    remedy: `Use words of [A-Za-z0-9_-] with dots between them, such as _INBOX; the first is none of ${RESERVED_PREFIXES.join(', ')}.`,
  })
}

/** The variable of the server's environment that a user's password comes from. */
export function passwordVariable(user: string): string {
  return `NATS_${user.toUpperCase().replaceAll('-', '_')}_PASSWORD`
}

/** @throws PeltonError `invalid-argument` where two users would share a variable, or one is too long for an inbox */
export function checkUsers(users: readonly string[]): void {
  const variables = users.map(passwordVariable)
  for (const [index, user] of users.entries()) {
    const other = users[variables.indexOf(variables[index] ?? '')]
    const isTwice = other !== user || users.indexOf(user) !== index
    if (!isTwice && user.length <= MAX_USER_LENGTH) continue
    throw new PeltonError(
      'invalid-argument',
      isTwice ? `two users would share ${passwordVariable(user)}` : 'the name of a user would be too long',
      { field: 'user', value: showValue(user), remedy: 'Give pools and prefixes other names.' },
    )
  }
}

/** Longer names are cut off in an inbox. */
const MAX_USER_LENGTH = 64
