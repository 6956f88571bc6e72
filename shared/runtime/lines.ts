import type { Readable } from 'node:stream'
import { PeltonError } from '../sdk/errors.ts'

/** A line of a file or stream, without its end. */
export interface NumberedLine {
  /** From 1. */
  readonly number: number
  readonly bytes: Uint8Array
}

const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d

/** Longer than any broker accepts: a file without line ends must not fill the memory. */
const MAX_LINE_BYTES = 64 * 1024 ** 2

/**
 * Lines as bytes, so that broken UTF-8 is found where it is read, not replaced. Empty lines are passed over, and
 * counted.
 *
 * @throws PeltonError `too-large` for a line beyond 64 MiB
 */
export async function* readLines(input: Readable, signal?: AbortSignal): AsyncGenerator<NumberedLine> {
  let parts: Buffer[] = []
  let partBytes = 0
  let number = 0
  const take = (last: Buffer): NumberedLine | undefined => {
    number++
    const line = parts.length === 0 ? last : Buffer.concat([...parts, last])
    parts = []
    partBytes = 0
    const end = line.at(-1) === CARRIAGE_RETURN ? line.length - 1 : line.length
    const bytes = line.subarray(0, end)
    return bytes.length === 0 ? undefined : { number, bytes }
  }
  const onAbort = (): void => void input.destroy()
  signal?.addEventListener('abort', onAbort)
  try {
    for await (const chunk of input) {
      let rest = chunk as Buffer // a stream without encoding gives buffers
      for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
        const line = take(rest.subarray(0, end))
        rest = rest.subarray(end + 1)
        if (line !== undefined) yield line
        if (signal?.aborted) return
      }
      if (rest.length > 0) parts.push(rest)
      partBytes += rest.length
      if (partBytes > MAX_LINE_BYTES) throw tooLong(number + 1)
    }
    const last = take(Buffer.alloc(0))
    if (last !== undefined) yield last
  } catch (thrown) {
    if (!signal?.aborted) throw thrown // destroying the input is how it is told to stop
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

function tooLong(number: number): PeltonError {
  return new PeltonError('too-large', `line ${number} is longer than 64 MiB`, {
    remedy: 'Send one JSON object a line.',
  })
}
