import { z } from 'zod'
import { LANES, type Lane } from '../../sdk/contract/subjects.ts'
import { readVersioned, type Versioned } from '../records/versioned-record.ts'

/** An API key of the gateway as it is kept: whose it is and what it may, never the key itself. */
export interface ApiKey {
  /** Ten characters: names the key wherever it is spoken of. */
  readonly id: string
  /** For people; several keys may have the same. */
  readonly name: string
  /** SHA-256 of the secret, hex. */
  readonly hash: string
  /** Models it may ask, by their exact names. */
  readonly models: readonly string[] | 'all'
  /** Pool its events go to. */
  readonly pool: string
  /** What asks for a higher lane is lowered to this one. */
  readonly highestLane: Lane
  /** Kept and shown; nothing is counted against it yet. */
  readonly quotaClass?: string | undefined
  /** RFC 3339, by the clock of who made it. */
  readonly createdAt: string
  readonly createdBy: string
  /** RFC 3339; from then on it is refused, and stays listed. */
  readonly revokedAt?: string | undefined
  readonly revokedBy?: string | undefined
}

/** The version of the codec. A record of another is reported, and never written over. */
const VERSION = 1

const words = z.string().min(1)
// Members that a newer Pelton adds stay in a record that an older one changes.
const schema = z.looseObject({
  v: z.literal(VERSION),
  name: words,
  hash: z.string().regex(/^[0-9a-f]{64}$/),
  models: z.union([z.literal('all'), z.array(words).min(1)]),
  pool: words,
  highestLane: z.enum(LANES),
  quotaClass: words.optional(),
  createdAt: words,
  createdBy: z.string(),
  revokedAt: words.optional(),
  revokedBy: z.string().optional(),
})

/** A key as bytes. Its id stands in the key of the bucket. */
export function encodeApiKey({ id: _id, ...record }: ApiKey): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ v: VERSION, ...record }))
}

/** What lies under the id of a key; one of a newer Pelton is not to be let in by, either. */
export type DecodedKey =
  | { readonly kind: 'key'; readonly key: ApiKey }
  | Exclude<Versioned<never>, { readonly kind: 'read' }>

/** Reads a key. Throws nothing: what cannot be read says why. */
export function decodeApiKey(bytes: Uint8Array, id: string): DecodedKey {
  const read = readVersioned(bytes, VERSION, schema)
  if (read.kind !== 'read') return read
  const { v: _v, ...record } = read.value
  return { kind: 'key', key: { ...record, id } }
}
