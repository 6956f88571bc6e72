import {
  type BinaryChoice,
  decodeEventData,
  type EncodedBody,
  type EventData,
  encodeResponse,
} from '../sdk/contract/open-inference.ts'
import { elementCount, elementSizeBytes, rowsOf, sliceRows, type Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError, toPeltonError } from '../sdk/errors.ts'
import { AnswerSheet } from './answer-sheet.ts'
import type { BoundEvent } from './bind.ts'
import { findNonFinite } from './bind-tensors.ts'
import { seeModels } from './models-page.ts'
import { unpackTexts, workOfAll } from './work.ts'

/** The data of an event as it came. */
export interface RawData {
  readonly contentType: string | undefined
  readonly inferenceHeaderLength: string | undefined
  readonly body: Uint8Array
}

/** What an answer repeats of the data it answers, and the form it has. */
export type AskedAnswer = Pick<EventData, 'id' | 'outputs' | 'parameters'>

/** What events that differ in their ids alone ask for: it holds on to nothing else of the event it was read from. */
export function withoutId({ outputs, parameters }: AskedAnswer): AskedAnswer {
  return outputs === undefined ? { parameters } : { outputs, parameters }
}

/** The data of an event, read and fitted to its model; or why it cannot be, and where that was found. */
export type ReadData<Inputs = readonly Tensor[]> =
  | { readonly kind: 'bound'; readonly bound: BoundEvent<Inputs>; readonly asked: AskedAnswer }
  | { readonly kind: 'refused'; readonly stage: 'decode' | 'validate'; readonly error: PeltonError }

/** Reads the data of an event and fits it to its model. Never throws for what an event brings. */
export function readData<Inputs>(
  { contentType, inferenceHeaderLength, body }: RawData,
  bind: (data: EventData) => BoundEvent<Inputs>,
): ReadData<Inputs> {
  let stage: 'decode' | 'validate' = 'decode'
  try {
    const data = decodeEventData(contentType, inferenceHeaderLength, body)
    stage = 'validate'
    return { kind: 'bound', bound: bind(data), asked: data }
  } catch (thrown) {
    return { kind: 'refused', stage, error: toPeltonError(thrown, 'malformed', 'the event cannot be read') }
  }
}

/** One event's part of the outputs of a run, and how it is answered. */
export interface AnswerPart {
  readonly rows: number
  readonly modelName: string
  readonly modelVersion: string
  readonly id: string
  /** Outputs to answer with, in this order. */
  readonly names: readonly string[]
  readonly binary: BinaryChoice
  /** Whether NaN and infinities are refused. */
  readonly areFinite: boolean
  /** What the broker takes of one message, bytes. */
  readonly maxBytes: number
}

/** The bodies of the answers to a batch, one for each part, in order; or why there is none. */
export type Answer = EncodedBody | PeltonError

/**
 * Why an answer cannot be stored, as far as its shapes tell: nothing is written for that, however large it is. A number
 * takes two characters of JSON at least.
 *
 * @param isAlone whether all of the outputs are of this one event, whatever their first dimension is
 * @returns undefined for an answer that may be small enough
 */
export function tooLargeByShape(
  outputs: readonly Tensor[],
  part: AnswerPart,
  isAlone: boolean,
): PeltonError | undefined {
  let least = 0
  let largest: { readonly output: Tensor; readonly bytes: number } | undefined
  for (const name of part.names) {
    const output = outputs.find((each) => each.name === name)
    if (output === undefined) continue
    const isBinary = typeof part.binary === 'boolean' ? part.binary : part.binary.has(name)
    const bytes = leastBytes(output, isAlone ? 1 : shareOf(output, part.rows), isBinary)
    least += bytes
    if (largest === undefined || bytes > largest.bytes) largest = { output, bytes }
  }
  if (least <= part.maxBytes || largest === undefined) return undefined
  const { name, shape } = largest.output
  const problem = `the prediction has at least ${least} bytes, more than the ${part.maxBytes} of the broker's max_payload`
  return new PeltonError('too-large', problem, {
    field: `outputs.${name}.shape`,
    value: `[${shape}]`,
    remedy: 'Ask for fewer outputs, or for binary data, or send fewer rows.',
  })
}

function shareOf(output: Tensor, rows: number): number {
  return rowsOf(output) === 0 ? 0 : rows / rowsOf(output)
}

function leastBytes({ datatype, shape, data }: Tensor, share: number, isBinary: boolean): number {
  const elements = elementCount(shape) * share
  const size = elementSizeBytes(datatype)
  if (size !== undefined) return isBinary ? elements * size : elements * (datatype === 'BOOL' ? 5 : 2)
  // How the texts divide among the rows is not known: their number is, and of a whole output their length.
  const texts = share === 1 ? textBytes(data, elements) : 0
  return texts + elements * (isBinary ? 4 : 3)
}

/** Bytes of the texts of an output: of packed ones exactly, of others at least. */
function textBytes(data: Tensor['data'], elements: number): number {
  if (!Array.isArray(data)) return data.byteLength - 4 * elements
  let bytes = 0
  for (const text of data) bytes += text.length
  return bytes
}

/** What answering costs a loop, in bytes: the outputs, and what each answer repeats. */
export function workOfAnswers(outputs: readonly Tensor[], parts: readonly AnswerPart[]): number {
  let bytes = workOfAll(outputs)
  for (const { id } of parts) bytes += id.length
  return bytes
}

/** Writes the answers to a batch: each part takes its rows, in order; a single part takes all. Never throws. */
export function writeAnswers(outputs: readonly Tensor[], parts: readonly AnswerPart[]): Answer[] {
  const unpacked = outputs.map(unpackTexts)
  const isAlone = parts.length === 1
  const sheet = new AnswerSheet(unpacked, isAlone)
  let start = 0
  const written = parts.map((part): Answer | string => {
    const from = start
    start += part.rows
    try {
      const plain = sheet.write(part, from)
      if (plain !== undefined) return plain
      const mine = isAlone ? unpacked : unpacked.map((output) => sliceRows(output, from, from + part.rows))
      return writeAnswer(mine, part)
    } catch (thrown) {
      return toPeltonError(thrown, 'inference-failed', 'the answer cannot be written')
    }
  })
  return toBodies(written)
}

/** Answers that are text alone become bytes together: the bodies of a batch are parts of one buffer. */
function toBodies(written: readonly (Answer | string)[]): Answer[] {
  const all = written.filter((each) => typeof each === 'string').join('')
  const bytes = Buffer.from(all)
  const isAscii = bytes.length === all.length
  let at = 0
  return written.map((each) => {
    if (typeof each !== 'string') return each
    const body = isAscii ? bytes.subarray(at, at + each.length) : Buffer.from(each)
    at += each.length
    return { body, contentType: 'application/json' }
  })
}

function writeAnswer(made: readonly Tensor[], part: AnswerPart): EncodedBody {
  const outputs = part.names.flatMap((name) => made.filter((output) => output.name === name))
  if (part.areFinite) outputs.forEach(refuseNonFinite)
  const { modelName, modelVersion, id, binary, maxBytes } = part
  return encodeResponse({ modelName, modelVersion, id, outputs }, { binary, maxBytes })
}

function refuseNonFinite({ name, datatype, data }: Tensor): void {
  const index = findNonFinite(datatype, data)
  if (index < 0) return
  throw new PeltonError('invalid-output', 'the model answered with a number that is not finite', {
    field: `outputs.${name}[${index}]`,
    value: String(data[index]),
    remedy: `Check the input, or allow it with checks.finiteOutputs: false. ${seeModels('checks')}`,
  })
}
