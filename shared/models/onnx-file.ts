import { PeltonError } from '../sdk/errors.ts'
import { type ByteSource, openByteSource } from './byte-source.ts'
import { HEAD_BYTES, recogniseFile } from './foreign-file.ts'
import { seeModels } from './models-page.ts'

/**
 * What an ONNX file says about itself, read without the runtime: the runtime does not name the inputs it cannot feed,
 * hides those that bring their own value, and follows external data.
 */
export interface OnnxFile {
  readonly inputs: readonly OnnxValue[]
  readonly outputs: readonly OnnxValue[]
  /** Names of the main graph's initialisers. An input of the same name brings its own value. */
  readonly initialisers: ReadonlySet<string>
  /** Tensors, anywhere in the file, whose data lies in another file. */
  readonly externalTensors: readonly ExternalTensor[]
}

/** A tensor whose data lies in another file. */
export interface ExternalTensor {
  readonly name: string
  /** Where, as the file says it: a path relative to its own folder. Empty where it says nothing. */
  readonly location: string
}

export interface OnnxValue {
  readonly name: string
  /** As ONNX names it: `float`, `bfloat16`, `sequence`, `map`, `optional`, … */
  readonly kind: string
}

type Message =
  | 'model'
  | 'training'
  | 'function'
  | 'graph'
  | 'node'
  | 'attribute'
  | 'sparse'
  | 'tensor'
  | 'other'

/** Where the messages that matter lie: message → field number → message. Everything else is skipped by its length. */
const CHILDREN: Readonly<Record<Message, Readonly<Record<number, Message>>>> = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  training: { 1: 'graph', 2: 'graph' },
  function: { 7: 'node', 11: 'attribute' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
  other: {},
}
/** Fields that are looked at, by message: trees have their numbers one by one, tens of thousands of them. */
const WANTED: ReadonlyMap<string, ReadonlySet<number>> = new Map(
  Object.entries(CHILDREN).map(([message, children]) => [
    message,
    new Set([...Object.keys(children).map(Number), ...(message === 'graph' ? [11, 12] : [])]),
  ]),
)
const TYPE_KINDS: Readonly<Record<number, string>> = {
  4: 'sequence',
  5: 'map',
  7: 'opaque',
  8: 'sparse tensor',
  9: 'optional',
}
const ELEMENT_KINDS = (
  'undefined float uint8 int8 uint16 int16 int32 int64 string bool float16 double uint32 uint64 complex64 complex128 ' +
  'bfloat16 float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz uint4 int4 float4e2m1 float8e8m0 uint2 int2'
).split(' ')
/** The runtime reads protobuf no deeper either. */
const MAX_DEPTH = 100

interface Found {
  readonly inputs: OnnxValue[]
  readonly outputs: OnnxValue[]
  readonly initialisers: Set<string>
  readonly externalTensors: ExternalTensor[]
}

/** One field of a message: the number of its value (wire type 0), or where its content lies. */
export interface Field {
  readonly number: number
  readonly wire: number
  readonly value: number
  readonly start: number
  readonly end: number
}

/** Reads what an ONNX file says about itself. Throws `model-refused` when it is no whole ONNX file. */
export function readOnnxFile(path: string): OnnxFile {
  const source = openByteSource(path)
  try {
    if (source.size === 0) throw notOnnx('the file is empty')
    const found: Found = { inputs: [], outputs: [], initialisers: new Set(), externalTensors: [] }
    walk(source, 'model', 0, source.size, 0, found)
    if (found.outputs.length === 0) throw notOnnx('the file declares no graph with an output')
    return found
  } catch (thrown) {
    throw foreign(source) ?? thrown
  } finally {
    source.close()
  }
}

function walk(
  source: ByteSource,
  message: Message,
  start: number,
  end: number,
  depth: number,
  found: Found,
): void {
  if (depth > MAX_DEPTH) throw notOnnx('the file is nested too deep')
  const isMainGraph = message === 'graph' && depth === 1
  for (const field of fieldsOf(source, start, end, WANTED.get(message))) {
    if (field.wire !== 2) continue
    const child = CHILDREN[message][field.number]
    if (child === 'tensor') readTensor(source, field, isMainGraph, found)
    else if (child !== undefined) walk(source, child, field.start, field.end, depth + 1, found)
    else if (isMainGraph && field.number === 11) found.inputs.push(readValue(source, field))
    else if (isMainGraph && field.number === 12) found.outputs.push(readValue(source, field))
  }
}

function readTensor(source: ByteSource, { start, end }: Field, isInitialiser: boolean, found: Found): void {
  let name = ''
  let isExternal = false
  let location = ''
  for (const field of fieldsOf(source, start, end)) {
    if (field.number === 8 && field.wire === 2) name = source.textBetween(field.start, field.end)
    if (field.number === 13 || (field.number === 14 && field.value === 1)) isExternal = true
    if (field.number === 13 && field.wire === 2) location = readLocation(source, field) ?? location
  }
  if (isInitialiser) found.initialisers.add(name)
  if (isExternal) found.externalTensors.push({ name, location })
}

/** The value of the entry `location`; undefined for another entry. */
function readLocation(source: ByteSource, { start, end }: Field): string | undefined {
  let key = ''
  let value = ''
  for (const field of fieldsOf(source, start, end)) {
    if (field.number === 1 && field.wire === 2) key = source.textBetween(field.start, field.end)
    if (field.number === 2 && field.wire === 2) value = source.textBetween(field.start, field.end)
  }
  return key === 'location' ? value : undefined
}

function readValue(source: ByteSource, { start, end }: Field): OnnxValue {
  let name = ''
  let kind = 'undefined'
  for (const field of fieldsOf(source, start, end)) {
    if (field.wire !== 2) continue
    if (field.number === 1) name = source.textBetween(field.start, field.end)
    if (field.number === 2) kind = readType(source, field)
  }
  return { name, kind }
}

function readType(source: ByteSource, { start, end }: Field): string {
  for (const field of fieldsOf(source, start, end)) {
    if (field.number !== 1 || field.wire !== 2) {
      const kind = TYPE_KINDS[field.number]
      if (kind !== undefined) return kind
      continue
    }
    for (const inner of fieldsOf(source, field.start, field.end)) {
      if (inner.number === 1 && inner.wire === 0)
        return ELEMENT_KINDS[inner.value] ?? `datatype ${inner.value}`
    }
  }
  return 'undefined'
}

/**
 * The fields of a message of an ONNX file, one after the other. Throws `model-refused` where they break off.
 *
 * @param only numbers of the fields that are asked for; all others are gone over, and nothing is made of them. @default all
 */
export function* fieldsOf(
  source: ByteSource,
  start: number,
  end: number,
  only?: ReadonlySet<number>,
): Generator<Field> {
  let at = start
  const varint = (): number => {
    let byte = source.byteAt(at++)
    if (byte < 0x80) return byte
    let value = byte & 0x7f
    for (let shift = 1; shift < 10; shift++) {
      byte = source.byteAt(at++)
      value += (byte & 0x7f) * 2 ** (7 * shift)
      if (byte < 0x80) return value
    }
    throw notOnnx('a number in the file is longer than ten bytes')
  }
  while (at < end) {
    const key = varint()
    const wire = key % 8
    const value = wire === 0 ? varint() : 0
    const length = wire === 2 ? varint() : wire === 1 ? 8 : wire === 5 ? 4 : 0
    const isKnown = wire === 0 || wire === 1 || wire === 2 || wire === 5
    const number = Math.floor(key / 8)
    if (!isKnown || number === 0 || at + length > end) throw notOnnx('the file breaks off or is damaged')
    if (only === undefined || only.has(number)) yield { number, wire, value, start: at, end: at + length }
    at += length
  }
}

/** The refusal of a file whose first bytes tell what else it is. */
function foreign(source: ByteSource): PeltonError | undefined {
  const file = recogniseFile(source.bytesBetween(0, HEAD_BYTES).toString('latin1'))
  if (file === undefined) return undefined
  return new PeltonError('model-refused', `this is no ONNX file but ${file.kind}`, { remedy: file.remedy })
}

function notOnnx(problem: string): PeltonError {
  const remedy = `Export or copy the model again, whole. ${seeModels('exporting')}`
  return new PeltonError('model-refused', `this is no ONNX file: ${problem}`, { remedy })
}
