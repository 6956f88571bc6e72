import { findStrangeToken, recogniseBytes } from '../../../shared/sdk/contract/foreign-data.ts'
import { MAX_JSON_DEPTH } from '../../../shared/sdk/contract/json.ts'
import {
  isNamed,
  type ScanFault,
  type ScannedMember,
  scanObject,
  textOf,
} from '../../../shared/sdk/contract/json-scan.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'

/** What the JSON of a request may have, looked at before anything of it is built. */
export interface ScanLimits {
  /** Levels of nesting, the outermost object included; 64 at most. @default 64 */
  readonly maxDepth?: number | undefined
  /** Values, each element of each array, each member, and all objects and arrays. @default 4194304 */
  readonly maxElements?: number | undefined
}

/** What the gateway reads of a request. All else is the worker's to judge. */
export interface ScannedRequest {
  /** Undefined where there is none, or none of text of ordinary length. */
  readonly id: string | undefined
  /** The member `parameters` where it is an object. Read by names with `Object.hasOwn`. */
  readonly parameters: Readonly<Record<string, unknown>> | undefined
}

const DEFAULT_MAX_ELEMENTS = 2 ** 22
/** Bytes of the two members that are built; an id that is longer is the worker's alone. */
const MAX_ID_BYTES = 1_024
const MAX_PARAMETER_BYTES = 64 * 1_024

/**
 * Goes once over the JSON of a request: knows whether it is a JSON object, exactly as `JSON.parse` does, counts depth and
 * values against the limits, and finds the members `id` and `parameters`, of which alone something is built.
 *
 * @throws PeltonError `malformed` for what is no JSON object, with the position, or is nested too deep; `too-large` for
 *   more values, or longer parameters, than are taken
 */
export function scanRequest(json: Uint8Array, limits: ScanLimits = {}): ScannedRequest {
  const { maxDepth = MAX_JSON_DEPTH, maxElements = DEFAULT_MAX_ELEMENTS } = limits
  let id: ScannedMember | undefined
  let parameters: ScannedMember | undefined
  const refuse = (fault: ScanFault, at: number): PeltonError => {
    if (fault === 'depth') return tooDeep(Math.min(maxDepth, MAX_JSON_DEPTH), at)
    return fault === 'values' ? tooMany(maxElements) : notJson(json, fault, at)
  }
  scanObject(json, { maxDepth, maxValues: maxElements, refuse }, (member) => {
    if (isNamed(json, member, 'id')) id = member
    else if (isNamed(json, member, 'parameters')) parameters = member
  })
  return { id: id && readId(json, id), parameters: parameters && readParameters(json, parameters) }
}

function readId(json: Uint8Array, { from, to }: ScannedMember): string | undefined {
  return json[from] === QUOTE && to - from <= MAX_ID_BYTES ? JSON.parse(textOf(json, from, to)) : undefined
}

function readParameters(
  json: Uint8Array,
  { from, to }: ScannedMember,
): Readonly<Record<string, unknown>> | undefined {
  if (json[from] !== OPEN_BRACE) return undefined
  if (to - from <= MAX_PARAMETER_BYTES) return JSON.parse(textOf(json, from, to))
  throw new PeltonError('too-large', `parameters may have ${MAX_PARAMETER_BYTES} bytes`, {
    field: 'parameters',
    value: `${to - from} bytes`,
    remedy: 'Send data as inputs.',
  })
}

const OPEN_BRACE = 0x7b
const QUOTE = 0x22

function tooDeep(most: number, at: number): PeltonError {
  return new PeltonError('malformed', `the JSON is nested too deep at byte ${at}`, {
    field: 'body',
    value: `more than ${most} levels`,
    remedy: 'Send tensors flat or nested by their shape, and features as scalars.',
  })
}

function tooMany(most: number): PeltonError {
  return new PeltonError('too-large', `the JSON may have ${most} values`, {
    field: 'body',
    value: `more than ${most}`,
    remedy: 'Send fewer rows, or tensors as binary data.',
  })
}

const SEND_OBJECT = 'Send one complete JSON object, {"inputs": […]} or {"features": {…}}.'

/** @param at where it cannot be read on; with a wrong encoding nobody knows */
function notJson(json: Uint8Array, fault: ScanFault, at: number): PeltonError {
  const foreign = recogniseBytes(json)
  if (foreign !== undefined) {
    const remedy = foreign.kind === 'gzip' ? 'Send it with Content-Encoding: gzip.' : foreign.remedy
    return new PeltonError('malformed', `the body is no JSON but ${foreign.kind}`, { field: 'body', remedy })
  }
  if (fault === 'encoding')
    return new PeltonError('malformed', 'the body is not valid UTF-8', {
      field: 'body',
      value: `${json.length} bytes`,
      remedy: 'Encode it as UTF-8.',
    })
  if (json.length === 0)
    return new PeltonError('malformed', 'the body is empty', { field: 'body', remedy: SEND_OBJECT })
  const problem = fault === 'kind' ? 'is no JSON object' : 'is not valid JSON'
  const strange = findStrangeToken(textOf(json, at, Math.min(json.length, at + 64)))
  return new PeltonError('malformed', `the body ${problem} from byte ${at} on`, {
    field: 'body',
    value: `${json.length} bytes, from ${Math.max(0, at - 20)}: ${around(json, at)}`,
    remedy: strange?.position === 0 ? strange.remedy : SEND_OBJECT,
  })
}

function around(json: Uint8Array, at: number): string {
  const from = Math.max(0, at - 20)
  return showValue(textOf(json, from, Math.min(json.length, from + 60)))
}
