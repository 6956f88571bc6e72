import { PeltonError, showValue } from '../errors.ts'

/** TLS towards the broker: paths of files in PEM form, named as the options of the NATS client. */
export interface TlsFiles {
  /** Certificates of the authorities that may have signed the broker's. @default those that Node knows */
  readonly caFile?: string | undefined
  /** Certificate of this client, and those between it and its authority. Needs `keyFile`. */
  readonly certFile?: string | undefined
  /** Its key, without a passphrase. */
  readonly keyFile?: string | undefined
  /** TLS before the broker says anything: it must be set up so (`handshake_first`). @default false */
  readonly handshakeFirst?: boolean | undefined
}

/**
 * Who a client is to the broker, and how the two keep others out. What ends in `File` is the path of a file, read again at each
 * connect: what was rotated there is used from then on.
 */
export interface SecurityOptions {
  readonly user?: string | undefined
  readonly userFile?: string | undefined
  readonly password?: string | undefined
  readonly passwordFile?: string | undefined
  readonly token?: string | undefined
  readonly tokenFile?: string | undefined
  /** A JWT and the seed of its user, as `nsc` writes them. */
  readonly credsFile?: string | undefined
  /** The seed of an nkey. */
  readonly nkeyFile?: string | undefined
  /** An object, also an empty one: the connection is encrypted, or there is none. */
  readonly tls?: TlsFiles | undefined
  /** JetStream domain of the streams. @default that of the server */
  readonly domain?: string | undefined
  /** What answers are asked for lies below it, and nowhere else. @default `_INBOX.<user>` where a user is named, else `_INBOX` */
  readonly inboxPrefix?: string | undefined
}

/** Which names an error calls the options by: those of settings, or those of the package. */
export type Naming = 'settings' | 'options'

const SETTINGS = {
  url: 'PELTON_NATS_URL',
  user: 'PELTON_NATS_USER',
  userFile: 'PELTON_NATS_USER_FILE',
  password: 'PELTON_NATS_PASSWORD',
  passwordFile: 'PELTON_NATS_PASSWORD_FILE',
  token: 'PELTON_NATS_TOKEN',
  tokenFile: 'PELTON_NATS_TOKEN_FILE',
  credsFile: 'PELTON_NATS_CREDS',
  nkeyFile: 'PELTON_NATS_NKEY',
  'tls.caFile': 'PELTON_NATS_TLS_CA',
  'tls.certFile': 'PELTON_NATS_TLS_CERT',
  'tls.keyFile': 'PELTON_NATS_TLS_KEY',
  'tls.handshakeFirst': 'PELTON_NATS_TLS_FIRST',
  domain: 'PELTON_NATS_DOMAIN',
  inboxPrefix: 'PELTON_NATS_INBOX_PREFIX',
} as const

export type SecurityField = keyof typeof SETTINGS

export function nameOf(field: SecurityField, naming: Naming): string {
  return naming === 'settings' ? SETTINGS[field] : field
}

/** The error of an option that cannot be used. Never give it a secret. */
export function unusable(
  field: SecurityField,
  naming: Naming,
  { text, value, remedy }: { readonly text: string; readonly value?: string; readonly remedy: string },
  cause?: unknown,
): PeltonError {
  const code = naming === 'settings' ? 'invalid-configuration' : 'invalid-argument'
  const details = { field: nameOf(field, naming), ...(value !== undefined && { value }), remedy }
  return new PeltonError(code, text, details, cause)
}

/** The ways to say who one is: each with all that belongs to it. */
const WAYS: readonly (readonly SecurityField[])[] = [
  ['credsFile'],
  ['nkeyFile'],
  ['user', 'userFile', 'password', 'passwordFile'],
  ['token', 'tokenFile'],
]
const EITHER: readonly (readonly [SecurityField, SecurityField])[] = [
  ['user', 'userFile'],
  ['password', 'passwordFile'],
  ['token', 'tokenFile'],
]
const PATHS = ['userFile', 'passwordFile', 'tokenFile', 'credsFile', 'nkeyFile'] as const
const TLS_PATHS = ['caFile', 'certFile', 'keyFile'] as const

/** A path is one line; what is longer, or looks like what the file should hold, is the secret itself. */
const NO_PATH = /[\r\n\0]|-----|^S[A-Z2-7]{50,}$|^eyJ/
const DOMAIN = /^[A-Za-z0-9_-]{1,128}$/
const INBOX_PREFIX = /^[A-Za-z0-9_$=-]+(?:\.[A-Za-z0-9_$=-]+)*$/
const MAX_INBOX_PREFIX = 200

/**
 * Checks what can be checked without a look at any file: what excludes each other, what belongs together, what is no path.
 *
 * @throws PeltonError `invalid-configuration`, or `invalid-argument` with `naming` `options`
 */
export function checkSecurity(options: SecurityOptions & { readonly url?: string }, naming: Naming): void {
  for (const field of PATHS) checkPath(field, options[field], naming)
  for (const field of TLS_PATHS) checkPath(`tls.${field}`, options.tls?.[field], naming)
  checkIdentity(options, naming)
  const { certFile, keyFile } = options.tls ?? {}
  if (certFile !== undefined && keyFile === undefined)
    throw incomplete('tls.certFile', 'tls.keyFile', certFile)
  if (keyFile !== undefined && certFile === undefined)
    throw incomplete('tls.keyFile', 'tls.certFile', keyFile)
  checkNames(options, naming)

  function incomplete(given: SecurityField, missing: SecurityField, value: string): PeltonError {
    return unusable(given, naming, {
      text: 'a client certificate and its key belong together',
      value: showValue(value),
      remedy: `Set ${nameOf(missing, naming)} too, or neither.`,
    })
  }
}

function checkPath(field: SecurityField, value: string | undefined, naming: Naming): void {
  if (value === undefined || (typeof value === 'string' && value !== '' && !NO_PATH.test(value))) return
  throw unusable(field, naming, {
    text: 'this is no path of a file',
    value: '(hidden)',
    remedy: 'Give the path of the file, not what it holds.',
  })
}

function checkIdentity(options: SecurityOptions & { readonly url?: string }, naming: Naming): void {
  const isGiven = (field: SecurityField): boolean => options[field as keyof SecurityOptions] !== undefined
  for (const [one, other] of EITHER) if (isGiven(one) && isGiven(other)) throw excluded(other, one)
  const given = WAYS.map((way) => way.find(isGiven)).filter((field) => field !== undefined)
  const [first, second] = given
  if (first !== undefined && second !== undefined) throw excluded(first, second)
  if (first !== undefined && splitUrl(options.url).userInfo !== undefined) throw excluded(first, 'url')
  if (first === 'password' || first === 'passwordFile')
    throw unusable(first, naming, {
      text: 'a password is nothing without its user',
      remedy: `Set ${nameOf('user', naming)} too.`,
    })

  function excluded(field: SecurityField, other: SecurityField): PeltonError {
    const also = `${nameOf(other, naming)}${other === 'url' ? ' has a user or token' : ' is set'}`
    const isPath = field.endsWith('File')
    return unusable(field, naming, {
      text: `the broker is told one thing about who this is, and ${also} as well`,
      value: isPath ? showValue(options[field as keyof SecurityOptions]) : '(hidden)',
      remedy: 'Leave one of the two out.',
    })
  }
}

function checkNames({ domain, inboxPrefix }: SecurityOptions, naming: Naming): void {
  if (domain !== undefined && !DOMAIN.test(domain))
    throw unusable('domain', naming, {
      text: 'this is no JetStream domain',
      value: showValue(domain),
      remedy: 'Use letters, digits, - and _, as the `jetstream` block of the server says.',
    })
  if (inboxPrefix === undefined) return
  if (INBOX_PREFIX.test(inboxPrefix) && inboxPrefix.length <= MAX_INBOX_PREFIX) return
  throw unusable('inboxPrefix', naming, {
    text: 'this is no prefix of subjects',
    value: showValue(inboxPrefix),
    remedy: `Use words of A-Z a-z 0-9 _ $ = - separated by dots, at most ${MAX_INBOX_PREFIX} characters.`,
  })
}

/** What an address says beside where the broker is. */
export interface SplitUrl {
  /** Addresses without schemes, users and tokens. */
  readonly servers: readonly string[]
  /** Whether one of them has the scheme `tls`: then no connection goes without. */
  readonly isTls: boolean
  /** Of the first address that has any. */
  readonly userInfo:
    | { readonly user: string; readonly password: string }
    | { readonly token: string }
    | undefined
}

const ADDRESS = /^(?:([a-z]+):\/\/)?(?:(.*)@)?([^@]*)$/i

/** Takes `nats://user:password@host:4222,tls://host` apart. */
export function splitUrl(url = ''): SplitUrl {
  const parts = url.split(',').map((one) => ADDRESS.exec(one.trim()) ?? [])
  const [info] = parts.flatMap(([, , userInfo]) => (userInfo === undefined ? [] : [userInfo]))
  return {
    servers: parts.map(([, , , host = '']) => host),
    isTls: parts.some(([, scheme = '']) => scheme.toLowerCase() === 'tls'),
    userInfo: info === undefined ? undefined : readUserInfo(info),
  }
}

function readUserInfo(info: string): NonNullable<SplitUrl['userInfo']> {
  const colon = info.indexOf(':')
  if (colon < 0) return { token: decoded(info) }
  return { user: decoded(info.slice(0, colon)), password: decoded(info.slice(colon + 1)) }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Each user has inboxes of its own: a user that may listen to all of `_INBOX.>` reads what others are answered. */
export function inboxOf(user: string): string {
  return `_INBOX.${user.slice(0, 64).replaceAll(/[^A-Za-z0-9_-]/g, '_')}`
}
