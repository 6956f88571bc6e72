import { showDuration } from '../../runtime/quantities.ts'
import { EXPIRY_FAIL_MS, EXPIRY_WARN_MS, type Expiry } from '../../sdk/jetstream/expiry.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** How near the end of credentials is. */
export type ExpiryLevel = 'far' | 'near' | 'at-once' | 'over'

const WHAT = {
  credentials: { name: 'the credentials', end: 'end', setting: 'PELTON_NATS_CREDS' },
  certificate: { name: 'the client certificate', end: 'ends', setting: 'PELTON_NATS_TLS_CERT' },
} as const

export function expiryLevel({ expiresAt }: Expiry, now: number): ExpiryLevel {
  const leftMs = expiresAt - now
  if (leftMs <= 0) return 'over'
  if (leftMs < EXPIRY_FAIL_MS) return 'at-once'
  return leftMs < EXPIRY_WARN_MS ? 'near' : 'far'
}

/** In how long they end, or since when they have, for people. */
export function expiryText({ kind, file, expiresAt }: Expiry, now: number): string {
  const leftMs = expiresAt - now
  const { name, end } = WHAT[kind]
  const at = new Date(expiresAt).toISOString()
  return leftMs > 0
    ? `${name} in ${file} ${end} in ${showDuration(leftMs)}, at ${at}`
    : `${name} in ${file} ended at ${at}`
}

export function expiryRemedy({ kind }: Expiry): string {
  return `Put new ones into the file of ${WHAT[kind].setting}: they are read at the next connect.`
}

/** A line for each file with an end: none where nothing ends. Pure. */
export function judgeExpiries(expiries: readonly Expiry[], now: number): readonly Finding[] {
  return expiries.map((expiry) => {
    const text = expiryText(expiry, now)
    const level = expiryLevel(expiry, now)
    if (level === 'far') return ok(expiry.kind, text)
    return (level === 'near' ? warn : fail)(expiry.kind, text, expiryRemedy(expiry))
  })
}
