import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { PeltonError } from '../sdk/errors.ts'

/** Random access to the bytes of a file, a window of it in memory at a time: models can be larger than memory. */
export interface ByteSource {
  readonly size: number
  /** The byte at this position. Throws `model-refused` past the end. */
  byteAt(position: number): number
  /** The bytes between two positions, cut after 4096, and where the file ends. */
  bytesBetween(start: number, end: number): Buffer
  /** UTF-8 text between two positions, cut after 4096 bytes. */
  textBetween(start: number, end: number): string
  close(): void
}

const WINDOW_BYTES = 65_536
const MAX_TEXT_BYTES = 4096

/** Opens a file for reading; close it when done. */
export function openByteSource(path: string): ByteSource {
  const file = openSync(path, 'r')
  const { size } = fstatSync(file)
  const window = Buffer.alloc(WINDOW_BYTES)
  let windowStart = 0
  let windowEnd = 0

  function byteAt(position: number): number {
    if (position < windowStart || position >= windowEnd) {
      windowStart = position
      windowEnd = position + readSync(file, window, 0, WINDOW_BYTES, position)
    }
    const byte = position < windowEnd ? window[position - windowStart] : undefined
    if (byte === undefined) throw new PeltonError('model-refused', 'the file ends in the middle of a field')
    return byte
  }

  function bytesBetween(start: number, end: number): Buffer {
    const bytes = Buffer.alloc(Math.min(end - start, MAX_TEXT_BYTES))
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, start))
  }

  return {
    size,
    byteAt,
    bytesBetween,
    textBetween: (start, end) => bytesBetween(start, end).toString('utf8'),
    close: () => closeSync(file),
  }
}
