import type { Headers } from '../contract/headers.ts'
import { HeaderLines, type HeaderShape, readShape } from './header-lines.ts'

/** Shapes met last, the latest first: most messages of a stream have the names of the one before. */
const shapes: HeaderShape[] = []
const MOST_SHAPES = 8
/** Characters of a block whose shape is kept: it holds on to the block, and anybody can send a long one. */
const MOST_OF_SHAPE = 8_192

/** Parses a raw header block, as a message or `STREAM.MSG.GET` brings it: names in lower case, the first value of each. */
export function parseHeaderBlock(block: Uint8Array): Headers {
  const text = Buffer.from(block.buffer, block.byteOffset, block.byteLength).toString('utf8')
  if (text.length > MOST_OF_SHAPE) return parseLines(text)
  for (let index = 0; index < shapes.length; index++) {
    const shape = shapes[index] as HeaderShape // within the array
    const headers = HeaderLines.read(shape, text)
    if (headers === undefined) continue
    if (index > 0) remember(shape)
    return headers
  }
  const shape = readShape(text)
  const headers = shape && HeaderLines.read(shape, text)
  if (shape === undefined || headers === undefined) return parseLines(text)
  remember(shape)
  return headers
}

function remember(shape: HeaderShape): void {
  const known = shapes.indexOf(shape)
  if (known >= 0) shapes.splice(known, 1)
  shapes.unshift(shape)
  if (shapes.length > MOST_SHAPES) shapes.pop()
}

/** What is no header block, or none that ends, as far as it can be read; and what is too long for a shape. */
function parseLines(text: string): Headers {
  const headers = new Map<string, string>()
  for (const line of text.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    const key = line.slice(0, colon).toLowerCase()
    if (!headers.has(key)) headers.set(key, line.slice(colon + 1).trim())
  }
  return headers
}
