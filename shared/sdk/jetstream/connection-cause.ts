import { sanitizeHeaderValue } from '../contract/headers.ts'

/** Why a connection could not be made, and what to do about it. */
export interface ConnectionCause {
  readonly text: string
  readonly remedy: string
}

const REMEDIES: readonly (readonly [cause: RegExp, remedy: string])[] = [
  [
    /certificate|UNABLE_TO_|SELF_SIGNED|CERT_/i,
    'Its certificate cannot be verified here: name a file with the certificate of its authority in NODE_EXTRA_CA_CERTS, and use a host name the certificate has.',
  ],
  [
    /authoriz|authentic|permissions violation/i,
    'Check the credentials: PELTON_NATS_USER and PELTON_NATS_PASSWORD, or PELTON_NATS_TOKEN.',
  ],
  [/\bTLS\b|\bSSL\b|wrong version number/i, 'Use tls:// in the address where the broker asks for TLS.'],
  [/ENOTFOUND|EAI_AGAIN/, 'Check the host name in the address.'],
]
const OTHERWISE = 'Check the address, and that the broker runs.'

/** More than a chain of errors has; one that leads back to itself ends here. */
const MAX_DEPTH = 10

/** By the deepest cause of an error: what wraps it only says that there is no connection. */
export function explainConnection(thrown: unknown): ConnectionCause {
  const texts = chainOf(thrown).map(textOf)
  const text = texts.at(-1) ?? 'the reason is unknown'
  const remedy = REMEDIES.find(([cause]) => texts.some((one) => cause.test(one)))?.[1] ?? OTHERWISE
  return { text: sanitizeHeaderValue(text, 200), remedy }
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
