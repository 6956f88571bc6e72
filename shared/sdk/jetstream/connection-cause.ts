import { errors, PermissionViolationError } from '@nats-io/transport-node'
import { sanitizeHeaderValue } from '../contract/headers.ts'
import { readExpiries } from './expiry.ts'
import { type Naming, nameOf, type SecurityField, type SecurityOptions, splitUrl } from './security.ts'

/** Why a connection is not there, or what it asked for refused, and what to do about it. */
export interface ConnectionCause {
  readonly text: string
  readonly remedy: string
}

/** How the connection was to be made: what is missing there, or wrong, tells the cause apart. */
export interface CauseContext {
  readonly options: SecurityOptions & { readonly url?: string }
  readonly naming: Naming
}

type Said = readonly [sentence: string, remedy: string]
/** Names of settings, in the words of who reads. */
type Name = (field: SecurityField) => string
type Explain = (context: CauseContext, name: Name, text: string) => Said

const TLS_FIELDS = ['tls.caFile', 'tls.certFile', 'tls.handshakeFirst'] as const

/** The first that matches says it. */
const CAUSES: readonly (readonly [cause: RegExp, explain: Explain])[] = [
  [
    /ERR_TLS_CERT_ALTNAME_INVALID|altnames/i,
    (_context, name) => [
      "the broker's certificate is for another host name",
      `Use a name in ${name('url')} that the certificate has, or have the broker's certificate made with this one.`,
    ],
  ],
  [
    /CERT_HAS_EXPIRED|CERT_NOT_YET_VALID/,
    () => [
      "the broker's certificate is not valid now",
      'Renew the certificate of the broker, or set the clock of this machine.',
    ],
  ],
  [/UNABLE_TO_|SELF_SIGNED|CERT_SIGNATURE|INVALID_CA|PATH_LENGTH/, unknownAuthority],
  [/CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE|alert (?:number )?(?:116|40)\b/i, clientCertificateWanted],
  [
    /ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_(?:EXPIRED|UNKNOWN|REVOKED)|DECRYPT_ERROR|UNSUPPORTED)/i,
    clientCertificateRefused,
  ],
  [
    /WRONG_VERSION_NUMBER|wrong version number|packet length too long/i,
    ({ options }, name) => [
      'the broker speaks without TLS at first',
      options.tls?.handshakeFirst === true
        ? `Unset ${name('tls.handshakeFirst')}, or set handshake_first at the broker.`
        : `Check the port in ${name('url')}.`,
    ],
  ],
  [
    /does not support 'tls'|is not available on this server/,
    (_context, name) => [
      'the broker has no TLS',
      `Use nats:// in ${name('url')} and unset ${list(TLS_FIELDS.map(name))}, or give the broker a certificate.`,
    ],
  ],
  [
    /TLS required/i,
    (_context, name) => [
      'the broker wants TLS',
      `Use tls:// in ${name('url')}; name the authority of its certificate in ${name('tls.caFile')}.`,
    ],
  ],
  [
    /nothing is said before TLS|undefined error/,
    (_context, name) => [
      'the broker says nothing, as one does that expects TLS first',
      `Set ${name('tls.handshakeFirst')}, or check the port in ${name('url')}.`,
    ],
  ],
  [/user authentication expired/i, authenticationExpired],
  [
    /account authentication expired/i,
    (_context, name) => [
      'the account has expired',
      `Have its operator renew the JWT of the account, or use another in ${name('credsFile')}.`,
    ],
  ],
  [
    /authentication revoked/i,
    (context, name) => [
      'the broker has revoked this user',
      `Put credentials that are not revoked into ${name(identityField(context) ?? 'credsFile')}.`,
    ],
  ],
  [/authorization violation|authentication timeout/i, notAuthorized],
  [
    /maximum (?:account active )?connections exceeded/i,
    () => [
      'the broker takes no more connections',
      'Raise max_connections of the server or the limit of the account, or end connections that nobody needs.',
    ],
  ],
  [/permissions violation/i, missingRight],
  [
    /\bSSL\b|\bERR_SSL|\bTLS\b|certificate/i,
    (_context, name) => [
      'no encrypted connection can be made',
      `Check ${list(TLS_FIELDS.map(name))}, and the log of the broker.`,
    ],
  ],
  [
    /ENOTFOUND|EAI_AGAIN/,
    (_context, name) => ['nobody knows the host', `Check the host name in ${name('url')}.`],
  ],
]

const OTHERWISE = 'Check the address, and that the broker runs.'

function unknownAuthority({ options }: CauseContext, name: Name): Said {
  const caFile = options.tls?.caFile
  const sentence = "the broker's certificate is signed by an authority that is not known here"
  return caFile === undefined
    ? [sentence, `Name a file with the certificate of its authority in ${name('tls.caFile')}.`]
    : [sentence, `Put the authority that signed it into ${name('tls.caFile')}: ${caFile} has another.`]
}

function clientCertificateWanted({ options }: CauseContext, name: Name): Said {
  const { certFile } = options.tls ?? {}
  return certFile === undefined
    ? [
        'the broker asks for a client certificate',
        `Name one that it knows in ${name('tls.certFile')}, and its key in ${name('tls.keyFile')}.`,
      ]
    : [
        'the broker does not take this client certificate',
        `Put one of an authority that the broker knows into ${name('tls.certFile')}: ${certFile} is not.`,
      ]
}

function clientCertificateRefused(context: CauseContext, name: Name): Said {
  const ended = endedAt(context, 'certificate')
  if (ended === undefined) return clientCertificateWanted(context, name)
  return [
    `the client certificate has expired, at ${ended.at}`,
    `Put a new one into ${name('tls.certFile')} (${ended.file}).`,
  ]
}

function authenticationExpired(context: CauseContext, name: Name): Said {
  const ended = endedAt(context, 'credentials')
  const field = identityField(context) ?? 'credsFile'
  return [
    `the credentials have expired${ended === undefined ? '' : `, at ${ended.at}`}`,
    `Put new ones into ${name(field)}: they are read at the next connect.`,
  ]
}

function notAuthorized(context: CauseContext, name: Name): Said {
  const field = identityField(context)
  const { options } = context
  if (field === undefined) {
    const ways = (['credsFile', 'nkeyFile', 'user', 'token'] as const).map(name)
    return [
      'the broker asks who this is, and nothing says so',
      `Set ${list(ways, 'or')}, as the broker has it.`,
    ]
  }
  if (field === 'credsFile') {
    if (endedAt(context, 'credentials') !== undefined) return authenticationExpired(context, name)
    return [
      'the broker does not take these credentials: their operator or account is another, or they are revoked',
      `Put credentials of an account that the broker knows into ${name(field)} (${options.credsFile}).`,
    ]
  }
  if (field === 'nkeyFile')
    return [
      'the broker does not know this nkey',
      `Give the broker its public key, or put another into ${name(field)} (${options.nkeyFile}).`,
    ]
  if (field === 'tokenFile' || field === 'token')
    return ['the broker does not take this token', `Check ${name(field)}.`]
  const password: SecurityField = options.passwordFile === undefined ? 'password' : 'passwordFile'
  return [
    'the broker does not know this user with this password',
    `Check ${name(field)}${field === 'url' ? '' : ` and ${name(password)}`}.`,
  ]
}

function missingRight(_context: CauseContext, name: Name, text: string): Said {
  const subject = /to "([^"]+)"/.exec(text)?.[1]
  const act = /subscription/i.test(text) ? 'listen to' : 'publish to'
  const isInbox = act === 'listen to' && subject?.includes('INBOX') === true
  return [
    `this user may not ${act} ${subject ?? 'what it asked for'}`,
    isInbox
      ? `Set ${name('inboxPrefix')} to what the user may listen to, or give it the right.`
      : 'Give the user this right (docs/nats.md, infra/nats), or use another.',
  ]
}

/** Which option says who this is. */
function identityField({ options }: CauseContext): SecurityField | undefined {
  const ways = ['credsFile', 'nkeyFile', 'tokenFile', 'token', 'userFile', 'user'] as const
  const given = ways.find((field) => options[field] !== undefined)
  return given ?? (splitUrl(options.url).userInfo === undefined ? undefined : 'url')
}

function endedAt({ options }: CauseContext, kind: 'credentials' | 'certificate') {
  const end = readExpiries(options).find((one) => one.kind === kind)
  return end === undefined || end.expiresAt > Date.now()
    ? undefined
    : { file: end.file, at: new Date(end.expiresAt).toISOString() }
}

function list(names: readonly string[], word = 'and'): string {
  return `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1) ?? ''}`
}

/** More than a chain of errors has; one that leads back to itself ends here. */
const MAX_DEPTH = 10
const MAX_TEXT = 200

/**
 * Says what is the matter in a sentence of its own, with the words of the deepest cause behind it: what wraps that only says
 * that there is no connection.
 */
export function explainConnection(thrown: unknown, context: CauseContext): ConnectionCause {
  const texts = chainOf(thrown).map(textOf)
  const deepest = sanitizeHeaderValue(texts.at(-1) ?? 'the reason is unknown', MAX_TEXT)
  const found = CAUSES.find(([cause]) => texts.some((text) => cause.test(text)))
  if (found === undefined) return { text: deepest, remedy: OTHERWISE }
  const [cause, explain] = found
  const name: Name = (field) => nameOf(field, context.naming)
  const [sentence, remedy] = explain(context, name, texts.find((text) => cause.test(text)) ?? deepest)
  return { text: `${sentence} (${deepest})`, remedy }
}

/** Why a request has no answer; a remedy where one is known. */
export interface RequestCause {
  readonly text: string
  readonly remedy?: string
}

/** Why a request to JetStream has no answer. */
export function explainRequest(thrown: unknown, domain: string | undefined, naming: Naming): RequestCause {
  const chain = chainOf(thrown)
  if (chain.some((each) => each instanceof errors.NoRespondersError)) return noJetStream(domain, naming)
  if (chain.some((each) => each instanceof PermissionViolationError))
    return explainConnection(thrown, { options: {}, naming })
  return { text: sanitizeHeaderValue(chain.map(textOf).at(-1) ?? '', MAX_TEXT) }
}

function noJetStream(domain: string | undefined, naming: Naming): RequestCause {
  const setting = nameOf('domain', naming)
  if (domain === undefined)
    return {
      text: 'nobody answers for it: JetStream is off, not enabled for this account, or in a domain',
      remedy: `Enable JetStream for the server and this account, or name its domain in ${setting}.`,
    }
  return {
    text: `no JetStream answers for the domain ${domain}`,
    remedy: `Set ${setting} to the \`domain\` in the \`jetstream\` block of the server, or unset it for the one it is connected to.`,
  }
}

function chainOf(thrown: unknown): readonly unknown[] {
  const chain: unknown[] = []
  for (
    let next = thrown;
    next !== undefined && next !== null && chain.length < MAX_DEPTH;
    next = causeOf(next)
  )
    chain.push(next)
  return chain
}

/** Of several addresses of one host, each has its own error: the first stands for them. */
function causeOf(thrown: unknown): unknown {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return thrown.errors[0]
  return thrown instanceof Error ? thrown.cause : undefined
}

function textOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const { code } = thrown as NodeJS.ErrnoException
  const text = thrown.message || thrown.name
  return typeof code !== 'string' || text.includes(code) ? text : `${text} (${code})`
}
