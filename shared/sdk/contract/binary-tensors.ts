import { PeltonError, showValue } from '../errors.ts'
import type { TensorData } from './tensor.ts'
import { createTensorData, type Datatype, elementSizeBytes, isCarriedText, type Tensor } from './tensor.ts'

const LENGTH_BYTES = 4
/** Whether numbers lie in memory as they do in the binary form. */
export const IS_LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Reads `count` elements from exactly these bytes: little-endian numbers, BOOL as 0 or 1, BYTES as a 4-byte length and
 * UTF-8 each. The result is a copy, so alignment of `bytes` does not matter.
 * Throws `schema-mismatch`, with paths below `field`, before it allocates for a count that the bytes cannot hold.
 */
export function readBinaryData(
  datatype: Datatype,
  count: number,
  bytes: Uint8Array,
  field: string,
): TensorData {
  checkHost()
  if (datatype === 'BYTES') return readStrings(count, bytes, field)
  const expected = count * (elementSizeBytes(datatype) ?? 0)
  if (bytes.length !== expected) {
    throw new PeltonError('schema-mismatch', `${count} elements of ${datatype} are ${expected} bytes`, {
      field: `${field}.parameters.binary_data_size`,
      value: showValue(bytes.length),
      remedy: 'Make shape, datatype and binary_data_size agree.',
    })
  }
  const data = createTensorData(datatype, count)
  bytesOf(data).set(bytes)
  if (datatype === 'BOOL') checkBools(bytes, field)
  return data
}

/** Bytes that {@link writeBinaryData} takes for a tensor. */
export function binarySizeOf(tensor: Tensor): number {
  const { datatype, data } = tensor
  if (datatype !== 'BYTES') return data.length * (elementSizeBytes(datatype) ?? 0)
  let size = data.length * LENGTH_BYTES
  for (const text of data as string[]) size += Buffer.byteLength(text) // BYTES are held by strings
  return size
}

/** Writes a tensor's elements into `target` from `offset` on; gives the offset behind them. */
export function writeBinaryData(tensor: Tensor, target: Buffer, offset: number): number {
  checkHost()
  if (tensor.datatype !== 'BYTES') {
    const bytes = bytesOf(tensor.data)
    target.set(bytes, offset)
    return offset + bytes.length
  }
  let at = offset
  for (const text of tensor.data as string[]) {
    const size = target.write(text, at + LENGTH_BYTES)
    target.writeUInt32LE(size, at)
    at += LENGTH_BYTES + size
  }
  return at
}

function readStrings(count: number, bytes: Uint8Array, field: string): string[] {
  if (count * LENGTH_BYTES > bytes.length) throw wrongLength(count, bytes, field)
  const strings = new Array<string>(count)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  for (let index = 0; index < count; index++) {
    if (at + LENGTH_BYTES > bytes.length) throw wrongLength(count, bytes, field)
    const start = at + LENGTH_BYTES
    at = start + view.getUint32(at, true)
    if (at > bytes.length) throw wrongLength(count, bytes, field)
    strings[index] = readString(bytes.subarray(start, at), index, field)
  }
  if (at !== bytes.length) throw wrongLength(count, bytes, field)
  return strings
}

function readString(bytes: Uint8Array, index: number, field: string): string {
  let text: string | undefined
  try {
    text = utf8.decode(bytes)
  } catch {
    // Reported below, like the other texts that cannot be carried.
  }
  if (text !== undefined && isCarriedText(text)) return text
  throw new PeltonError('schema-mismatch', 'BYTES elements are UTF-8 text without NUL', {
    field: `${field}.data[${index}]`,
    value: text === undefined ? `${bytes.length} bytes` : showValue(text.slice(0, 100)),
    remedy: 'Send text; encode other bytes as UINT8.',
  })
}

function wrongLength(count: number, bytes: Uint8Array, field: string): PeltonError {
  return new PeltonError('schema-mismatch', `these bytes are not ${count} length-prefixed BYTES elements`, {
    field: `${field}.parameters.binary_data_size`,
    value: showValue(bytes.length),
    remedy: 'Put a 4-byte little-endian length before each element and nothing else.',
  })
}

function checkBools(bytes: Uint8Array, field: string): void {
  const index = bytes.findIndex((value) => value > 1)
  if (index < 0) return
  throw new PeltonError('schema-mismatch', 'BOOL elements are bytes of 0 or 1', {
    field: `${field}.data[${index}]`,
    value: showValue(bytes[index]),
    remedy: 'Send 1 for true and 0 for false.',
  })
}

/** The bytes of elements as they lie in memory; not of BYTES. */
export function bytesOf(data: TensorData): Uint8Array {
  const view = data as Exclude<TensorData, string[]> // callers have dealt with BYTES
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

function checkHost(): void {
  if (IS_LITTLE_ENDIAN) return
  throw new PeltonError('internal', 'binary tensors need a little-endian machine', {
    remedy: 'Send and ask for tensors as JSON.',
  })
}
