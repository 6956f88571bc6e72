import { stringify } from 'lossless-json'
import { isJsonObject, type JsonObject, parseJson } from '../../../shared/sdk/contract/json.ts'
import { decodeEventData } from '../../../shared/sdk/contract/open-inference.ts'
import { messageOf, PeltonError, showValue, toPeltonError } from '../../../shared/sdk/errors.ts'

/** One event as a line of a file says it. */
export interface EventLine {
  /** Undefined: the producer makes one up. */
  readonly id: string | undefined
  /** JSON body to publish. */
  readonly body: Uint8Array
}

export interface EventLineOptions {
  /** Takes the id from this key, or from the feature of this name, which is then no feature any more. */
  readonly idField?: string
}

/**
 * Reads a line of JSON: `{"features": {…}}` or `{"inputs": […]}`, with an `id` if there is one. Whether the model takes
 * it is not looked at.
 *
 * @throws PeltonError `malformed` or `schema-mismatch` naming the field
 */
export function readEventLine(line: Uint8Array, { idField }: EventLineOptions = {}): EventLine {
  if (idField === undefined || idField === 'id') {
    const { id } = decodeEventData('application/json', undefined, line)
    if (id === undefined && idField === 'id') throw withoutId('id')
    return { id, body: line }
  }
  const root = parseJson(line)
  if (!isJsonObject(root)) {
    decodeEventData('application/json', undefined, line) // says what is wrong with it
    throw withoutId(idField)
  }
  const { id, rest } = takeId(root, idField)
  const body = Buffer.from(stringify(rest) ?? '')
  decodeEventData('application/json', undefined, body)
  return { id, body }
}

function takeId(root: JsonObject, field: string): { readonly id: string; readonly rest: JsonObject } {
  if (Object.hasOwn(root, field)) {
    const { [field]: id, ...rest } = root
    return { id: toId(id, field), rest }
  }
  const { features } = root
  if (!isJsonObject(features) || !Object.hasOwn(features, field)) throw withoutId(field)
  const { [field]: id, ...others } = features
  return { id: toId(id, field), rest: { ...root, features: others } }
}

function toId(value: unknown, field: string): string {
  if (typeof value === 'string' && value !== '') return value
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  throw new PeltonError('malformed', 'an id must be text or a number', { field, value: showValue(value) })
}

function withoutId(field: string): PeltonError {
  return new PeltonError('malformed', 'the line has no id', {
    field,
    remedy: 'Give every line one, or leave --id-field out.',
  })
}

/** A line that cannot be published, as people find it in their file. */
export function lineError(thrown: unknown, source: string, lineNumber: number): PeltonError {
  const error = toPeltonError(thrown, 'internal', messageOf(thrown))
  return new PeltonError(error.code, `${source}:${lineNumber}: ${error.description}`, {}, thrown)
}
