import type { JsonObject, JsonValue } from './json.ts'

/** Data of another tool, seen by its first bytes or its keys, and what its sender is to do. */
export interface ForeignData {
  /** Which tool's, as the object of `this is …`. */
  readonly kind: string
  readonly remedy: string
}

const AS_REQUEST = 'Send {"features": {…}}, or {"inputs": […]} with name, datatype, shape and data of each.'

/** First bytes of what is sent in place of JSON. */
const MAGICS: readonly (readonly [readonly number[], ForeignData])[] = [
  [[0x1f, 0x8b], { kind: 'gzip', remedy: 'Send the body uncompressed: no content encoding is undone here.' }],
  [
    [0x28, 0xb5, 0x2f, 0xfd],
    { kind: 'Zstandard', remedy: 'Send the body uncompressed: no content encoding is undone here.' },
  ],
  [[0x50, 0x4b, 0x03, 0x04], { kind: 'a ZIP archive', remedy: `Send what is in it. ${AS_REQUEST}` }],
  [[0x3c], { kind: 'HTML or XML', remedy: `Write JSON. ${AS_REQUEST}` }],
  [[0xff, 0xfe], { kind: 'text in UTF-16', remedy: 'Encode it as UTF-8, without a byte order mark.' }],
  [[0xfe, 0xff], { kind: 'text in UTF-16', remedy: 'Encode it as UTF-8, without a byte order mark.' }],
  [[0x80, 0x03], { kind: 'a Python pickle', remedy: `Write JSON. ${AS_REQUEST}` }],
  [[0x80, 0x04], { kind: 'a Python pickle', remedy: `Write JSON. ${AS_REQUEST}` }],
  [[0x80, 0x05], { kind: 'a Python pickle', remedy: `Write JSON. ${AS_REQUEST}` }],
  [
    [0x00, 0x00],
    {
      kind: 'a record of a schema registry',
      remedy: `Decode it from Avro or Protobuf first, then write JSON. ${AS_REQUEST}`,
    },
  ],
]

/** What bytes that are no JSON are, by the first of them. */
export function recogniseBytes(bytes: Uint8Array): ForeignData | undefined {
  return MAGICS.find(([magic]) => magic.every((byte, index) => bytes[index] === byte))?.[1]
}

/** A token that no JSON has, and where it stands. */
export interface StrangeToken {
  readonly text: string
  /** Characters before it. */
  readonly position: number
  readonly remedy: string
}

const NUMBERS_REMEDY =
  'Write "NaN", "Infinity" or "-Infinity" as strings, or null for a feature that is missing.'
const PYTHON_REMEDY = 'This is how Python shows a dict: write it with json.dumps.'

const STRANGE: ReadonlyMap<string, string> = new Map(
  Object.entries({
    "'": PYTHON_REMEDY,
    NaN: NUMBERS_REMEDY,
    nan: NUMBERS_REMEDY,
    Infinity: NUMBERS_REMEDY,
    inf: NUMBERS_REMEDY,
    None: PYTHON_REMEDY,
    True: PYTHON_REMEDY,
    False: PYTHON_REMEDY,
    undefined: 'Leave the key out, or send null.',
  }),
)
const BETWEEN = /[\s:,[\]{}]+/y
const TOKEN = /'|-?[A-Za-z_]+|[-+.\d][-+.\deE]*/y
const LITERALS: ReadonlySet<string> = new Set(['true', 'false', 'null'])
const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * The first token that cannot stand in JSON, where it is one that some writer is known for: a bare NaN of Python's
 * `json.dumps`, say. Goes through the text once.
 */
export function findStrangeToken(text: string): StrangeToken | undefined {
  let at = 0
  while (at < text.length) {
    const between = matchAt(BETWEEN, text, at)
    if (between !== '') at += between.length
    else if (text.charCodeAt(at) === QUOTE) at = endOfString(text, at)
    else {
      const token = matchAt(TOKEN, text, at)
      const remedy = STRANGE.get(token.replace('-', ''))
      if (remedy !== undefined) return { text: token, position: at, remedy }
      const isNumber = /^-?[.\d]/.test(token)
      if (!isNumber && !LITERALS.has(token)) return undefined
      at += token.length
    }
  }
  return undefined
}

function matchAt(pattern: RegExp, text: string, at: number): string {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0] ?? ''
}

/** Behind the string that begins here; the end of the text for one that does not end. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1
  return at + 1
}

/** What a JSON object that is no request is, by its keys. */
export function recogniseEnvelope(root: JsonObject): ForeignData | undefined {
  const has = (...keys: string[]): boolean => keys.every((key) => Object.hasOwn(root, key))
  if (has('specversion')) {
    return {
      kind: 'a structured CloudEvent',
      remedy: 'Send it with Content-Type: application/cloudevents+json, and ce-datacontenttype left out.',
    }
  }
  if (has('instances')) return { kind: 'a request of TensorFlow Serving', remedy: AS_REQUEST }
  if (has('dataframe_split') || has('dataframe_records'))
    return { kind: 'a request of MLflow', remedy: AS_REQUEST }
  if (has('pattern', 'data')) {
    return {
      kind: 'an envelope of NestJS',
      remedy: 'Send what is in its data by itself: with the nats client rather than ClientProxy.',
    }
  }
  if (isChange(root) || (has('schema', 'payload') && isChange(root.payload)))
    return { kind: 'a change event of Debezium', remedy: `Send what is in its after, as features: ${UNWRAP}` }
  if (has('schema', 'payload')) {
    return {
      kind: 'an envelope of Kafka Connect',
      remedy: 'Send what is in its payload by itself: set schemas.enable=false in its JsonConverter.',
    }
  }
  return undefined
}

const UNWRAP = 'its transform ExtractNewRecordState does that, with schemas.enable=false.'

function isChange(value: JsonValue | undefined): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.hasOwn(value, 'after') && (Object.hasOwn(value, 'before') || Object.hasOwn(value, 'op'))
}
