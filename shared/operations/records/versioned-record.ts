import type { z } from 'zod'

/** What lies under the key of a record that names the version of its codec. */
export type Versioned<Value> =
  | { readonly kind: 'read'; readonly value: Value }
  /** Of a newer Pelton: not to be written over. */
  | { readonly kind: 'newer'; readonly problem: string }
  | { readonly kind: 'junk'; readonly problem: string }

/**
 * Reads a record of JSON whose member `v` is the version of its codec. Throws nothing: what cannot be read says why.
 *
 * @param version the newest that can be read
 */
export function readVersioned<Schema extends z.ZodType>(
  bytes: Uint8Array,
  version: number,
  schema: Schema,
): Versioned<z.infer<Schema>> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return { kind: 'junk', problem: 'it is no JSON' }
  }
  const its = Object(value).v
  if (Number.isSafeInteger(its) && its > version)
    return { kind: 'newer', problem: `it has version ${its}, this Pelton reads ${version}` }
  const { success, data, error } = schema.safeParse(value)
  if (success) return { kind: 'read', value: data }
  const [issue] = error.issues
  return { kind: 'junk', problem: `${issue?.path.join('.') || 'it'}: ${issue?.message}` }
}
