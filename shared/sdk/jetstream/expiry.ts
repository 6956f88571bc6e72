import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { SecurityOptions } from './security.ts'

/** Until when the broker lets a client in. */
export interface Expiry {
  readonly kind: 'credentials' | 'certificate'
  /** File that says so. */
  readonly file: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
}

/** What is time enough to renew them, milliseconds. */
export const EXPIRY_WARN_MS = 7 * 24 * 3_600_000
/** What is not, milliseconds. */
export const EXPIRY_FAIL_MS = 24 * 3_600_000

/**
 * When the JWT of a credentials file and the certificate of this client end, as the files say now. A JWT without an end is left
 * out, and so is what cannot be read: the connection tells of that.
 */
export function readExpiries({
  credsFile,
  tls,
}: Pick<SecurityOptions, 'credsFile' | 'tls'>): readonly Expiry[] {
  const ends: (Expiry | undefined)[] = [
    of('credentials', credsFile, jwtEnd),
    of('certificate', tls?.certFile, certificateEnd),
  ]
  return ends.filter((end) => end !== undefined)
}

function of(
  kind: Expiry['kind'],
  file: string | undefined,
  read: (text: string) => number | undefined,
): Expiry | undefined {
  if (file === undefined) return undefined
  try {
    const expiresAt = read(readFileSync(file, 'utf8'))
    return expiresAt === undefined ? undefined : { kind, file, expiresAt }
  } catch {
    return undefined
  }
}

/** `exp` of the first JWT in a text, milliseconds since 1970; undefined without one. */
export function jwtEnd(text: string): number | undefined {
  const [, claims = ''] = /\beyJ[\w-]+\.([\w-]+)\.[\w-]+/.exec(text) ?? []
  const { exp } = JSON.parse(Buffer.from(claims, 'base64url').toString() || '{}') as {
    readonly exp?: unknown
  }
  return typeof exp === 'number' && exp > 0 ? exp * 1_000 : undefined
}

function certificateEnd(text: string): number {
  return Date.parse(new X509Certificate(text).validTo)
}
