import { PeltonError } from '../errors.ts'
import { type JsonObject, nestedTooDeep, parseJson } from './json.ts'
import { isNamed, type ScanFault, type ScannedMember, scanObject } from './json-scan.ts'

/** A structured event, opened as far as it has to be for its attributes. */
export interface Envelope {
  /**
   * Its members. An empty object or array stands for a long one, which is no attribute; and so does what stands for its
   * `data`, whose value is not read.
   */
  readonly members: JsonObject
  /** The bytes of its `data`, as they were written; a part of the envelope's. Undefined where it has none. */
  readonly data: Uint8Array | undefined
}

/** Bytes of a value from which on building it costs more than cutting it out. */
const LONG = 64
const OPEN_BRACE = 0x7b
const OPEN_BRACKET = 0x5b

/**
 * Reads the members of a structured event. Its data is gone over once, and is JSON then; whether a key stands twice in it,
 * or a number is too large, is found by whoever decodes it.
 *
 * @throws PeltonError `malformed` for what is no JSON object, and for members that {@link parseJson} refuses
 */
export function openEnvelope(json: Uint8Array): Envelope {
  const cuts: ScannedMember[] = []
  let data: Uint8Array | undefined
  const refuse = (fault: ScanFault): PeltonError => refusalOf(json, fault)
  scanObject(json, { refuse }, (member) => {
    const isData = data === undefined && isNamed(json, member, 'data')
    if (isData) data = json.subarray(member.from, member.to)
    if (isData || isLongContainer(json, member)) cuts.push(member)
  })
  return { members: parseJson(withoutValues(json, cuts)) as JsonObject, data }
}

function isLongContainer(json: Uint8Array, { from, to }: ScannedMember): boolean {
  return to - from > LONG && (json[from] === OPEN_BRACE || json[from] === OPEN_BRACKET)
}

const OBJECT = Buffer.from('{}')
const ARRAY = Buffer.from('[]')

/** The same object with something empty in place of some values. */
function withoutValues(json: Uint8Array, cuts: readonly ScannedMember[]): Uint8Array {
  const kept: Uint8Array[] = []
  let keptTo = 0
  for (const { from, to } of cuts) {
    kept.push(json.subarray(keptTo, from), json[from] === OPEN_BRACE ? OBJECT : ARRAY)
    keptTo = to
  }
  kept.push(json.subarray(keptTo))
  return Buffer.concat(kept)
}

/** What reading all of it would have said, but where that takes long for nothing. */
function refusalOf(json: Uint8Array, fault: ScanFault): PeltonError {
  if (fault === 'depth') return nestedTooDeep()
  try {
    parseJson(json)
  } catch (thrown) {
    if (thrown instanceof PeltonError) return thrown
    throw thrown
  }
  return new PeltonError('malformed', 'a structured CloudEvent must be a JSON object', { field: 'data' })
}
