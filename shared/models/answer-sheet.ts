import { bytesOf, IS_LITTLE_ENDIAN } from '../sdk/contract/binary-tensors.ts'
import { elementsToJson, PIECE } from '../sdk/contract/json-tensors.ts'
import type { EncodedBody } from '../sdk/contract/open-inference.ts'
import {
  checkTensor,
  elementCount,
  elementSizeBytes,
  isCarriedText,
  type Tensor,
} from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { findNonFinite } from './bind-tensors.ts'
import type { AnswerPart } from './codec.ts'

/** One output of a run, and what stands before its data in the answer to an event with so many rows. */
interface Column {
  readonly output: Tensor
  readonly rowSize: number
  readonly elementBytes: number | undefined
  headRows: number
  head: string
}

/**
 * The outputs of a run, from which the answers to its events are written without cutting them into tensors first. It
 * writes what is plain, byte for byte as {@link encodeResponse} does; what is not is left to that, and so is every error.
 */
export class AnswerSheet {
  readonly #columns: ReadonlyMap<string, Column> | undefined
  readonly #isAlone: boolean
  #names: readonly string[] | undefined
  #asked: readonly Column[] | undefined
  #model: Pick<AnswerPart, 'modelName' | 'modelVersion'> = { modelName: '', modelVersion: '' }
  #head = ''

  /** @param isAlone whether all of the outputs are of one event, whatever their first dimension is */
  constructor(outputs: readonly Tensor[], isAlone: boolean) {
    this.#columns = IS_LITTLE_ENDIAN ? columnsOf(outputs, isAlone) : undefined
    this.#isAlone = isAlone
  }

  /**
   * The answer of the rows from `from` on, as its text where that is all of it; undefined where it has to be written with
   * care.
   */
  write(part: AnswerPart, from: number): string | EncodedBody | undefined {
    const columns = this.#columnsFor(part.names)
    const id = idToJson(part.id)
    if (columns === undefined || id === undefined) return undefined
    let text = `${this.#headOf(part)},"id":${id},"outputs":[`
    let rawBytes: number | undefined
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index] as Column // within the array
      const start = from * column.rowSize
      const end = this.#isAlone ? column.output.data.length : start + part.rows * column.rowSize
      if (!isPlain(column, part, start, end)) return undefined
      text += `${index > 0 ? ',' : ''}${this.#headOfColumn(column, part.rows)}`
      if (isBinary(part, column)) {
        const size = (end - start) * (column.elementBytes ?? 0)
        rawBytes = (rawBytes ?? 0) + size
        text += `"parameters":{"binary_data_size":${size}}}`
      } else text += `"data":[${dataToJson(column.output, start, end)}]}`
    }
    text += ']}'
    if (rawBytes === undefined) return text
    return this.#withRaw(text, rawBytes, part, columns, from)
  }

  #withRaw(
    text: string,
    rawBytes: number,
    part: AnswerPart,
    columns: readonly Column[],
    from: number,
  ): EncodedBody {
    const inferenceHeaderLength = Buffer.byteLength(text)
    const body = Buffer.allocUnsafe(inferenceHeaderLength + rawBytes)
    body.write(text)
    let at = inferenceHeaderLength
    for (const column of columns) {
      if (!isBinary(part, column)) continue
      const bytes = bytesOf(column.output.data)
      const rowBytes = column.rowSize * (column.elementBytes ?? 0)
      const own = this.#isAlone ? bytes : bytes.subarray(from * rowBytes, (from + part.rows) * rowBytes)
      body.set(own, at)
      at += own.length
    }
    return { body, contentType: 'application/octet-stream', inferenceHeaderLength }
  }

  /** Most events of a batch ask for the very list of their model. */
  #columnsFor(names: readonly string[]): readonly Column[] | undefined {
    if (names !== this.#names) {
      this.#names = names
      const isDoubled = new Set(names).size < names.length
      this.#asked = isDoubled
        ? undefined
        : this.#columns && names.flatMap((name) => this.#columns?.get(name) ?? [])
    }
    return this.#asked
  }

  #headOf({ modelName, modelVersion }: AnswerPart): string {
    if (modelName !== this.#model.modelName || modelVersion !== this.#model.modelVersion) {
      this.#model = { modelName, modelVersion }
      const version = JSON.stringify(modelVersion)
      this.#head = `{"model_name":${JSON.stringify(modelName)},"model_version":${version}`
    }
    return this.#head
  }

  #headOfColumn(column: Column, rows: number): string {
    if (column.headRows !== rows) {
      const { name, datatype, shape } = column.output
      const own = this.#isAlone ? shape : [rows, ...shape.slice(1)]
      column.headRows = rows
      column.head = `{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${own}],`
    }
    return column.head
  }
}

/** Undefined where one of them is not what its type says, or has no rows to divide. */
function columnsOf(outputs: readonly Tensor[], isAlone: boolean): ReadonlyMap<string, Column> | undefined {
  const columns = new Map<string, Column>()
  for (const output of outputs) {
    const { name, shape } = output
    if (!isSound(output) || columns.has(name) || (!isAlone && shape.length === 0)) return undefined
    const elementBytes = elementSizeBytes(output.datatype)
    const rowSize = elementCount(shape.slice(1))
    columns.set(name, { output, rowSize, elementBytes, headRows: -1, head: '' })
  }
  return columns
}

function isSound(output: Tensor): boolean {
  try {
    checkTensor(output, 'output', 'invalid-output')
    return true
  } catch (thrown) {
    if (thrown instanceof PeltonError) return false
    throw thrown
  }
}

function isPlain({ output, elementBytes }: Column, part: AnswerPart, start: number, end: number): boolean {
  const { datatype, data } = output
  // What is longer is written piece by piece, with an eye on its length.
  if (end > data.length || end - start > PIECE || part.maxBytes < 1) return false
  if (elementBytes === undefined && part.binary !== false) return false
  return !part.areFinite || findNonFinite(datatype, data, start, end) < 0
}

function isBinary({ binary }: AnswerPart, { output }: Column): boolean {
  return typeof binary === 'boolean' ? binary : binary.has(output.name)
}

/** What is quoted as it is. */
const PLAIN_ID = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

function idToJson(id: string): string | undefined {
  if (PLAIN_ID.test(id)) return `"${id}"`
  return isCarriedText(id) ? JSON.stringify(id) : undefined
}

function dataToJson({ datatype, data }: Tensor, start: number, end: number): string {
  return start === end ? '' : elementsToJson(datatype, data, start, end)
}
