/** The names of a header block in their order, which most messages of a producer share. */
export interface HeaderShape {
  /** What each line begins with: its name as it was written, and a colon. */
  readonly starts: readonly string[]
  /** The first line of each name, in lower case. */
  readonly lines: ReadonlyMap<string, number>
}

const LINE_END = '\r\n'

/** @returns undefined for a block that does not end, or of which a line has no name */
export function readShape(text: string): HeaderShape | undefined {
  const rows = text.split(LINE_END)
  // The last line of a block is empty, and nothing stands behind it.
  if (rows.length < 3 || rows.at(-1) !== '' || rows.at(-2) !== '') return undefined
  const starts: string[] = []
  const lines = new Map<string, number>()
  for (const row of rows.slice(1, -2)) {
    const colon = row.indexOf(':')
    if (colon <= 0) return undefined
    const name = row.slice(0, colon).toLowerCase()
    if (!lines.has(name)) lines.set(name, starts.length)
    starts.push(row.slice(0, colon + 1))
  }
  return { starts, lines }
}

/**
 * Headers of one message, read when they are asked for: a map over the text of a block of known shape, of which only the
 * ends of its lines were looked for.
 */
export class HeaderLines implements ReadonlyMap<string, string> {
  readonly #shape: HeaderShape
  readonly #text: string
  readonly #ends: readonly number[]

  private constructor(shape: HeaderShape, text: string, ends: readonly number[]) {
    this.#shape = shape
    this.#text = text
    this.#ends = ends
  }

  /** @returns undefined for a block of another shape */
  static read(shape: HeaderShape, text: string): HeaderLines | undefined {
    const { starts } = shape
    const ends: number[] = []
    let at = text.indexOf(LINE_END) + LINE_END.length
    for (let index = 0; index < starts.length; index++) {
      const start = starts[index] as string // within the array
      if (!text.startsWith(start, at)) return undefined
      const end = text.indexOf(LINE_END, at + start.length)
      if (end < 0) return undefined
      ends.push(end)
      at = end + LINE_END.length
    }
    // Nothing but the empty line is left.
    if (at + LINE_END.length !== text.length || !text.endsWith(LINE_END)) return undefined
    return new HeaderLines(shape, text, ends)
  }

  get size(): number {
    return this.#shape.lines.size
  }

  get(name: string): string | undefined {
    const line = this.#shape.lines.get(name)
    return line === undefined ? undefined : this.#value(line)
  }

  has(name: string): boolean {
    return this.#shape.lines.has(name)
  }

  keys(): ReturnType<ReadonlyMap<string, string>['keys']> {
    return this.#shape.lines.keys()
  }

  values(): ReturnType<ReadonlyMap<string, string>['values']> {
    return this.#toMap().values()
  }

  entries(): ReturnType<ReadonlyMap<string, string>['entries']> {
    return this.#toMap().entries()
  }

  [Symbol.iterator](): ReturnType<ReadonlyMap<string, string>['entries']> {
    return this.entries()
  }

  forEach(told: (value: string, name: string, map: ReadonlyMap<string, string>) => void): void {
    for (const [name, value] of this) told(value, name, this)
  }

  /** Shown by Node it is a map with its values. */
  [Symbol.for('nodejs.util.inspect.custom')](): Map<string, string> {
    return this.#toMap()
  }

  #toMap(): Map<string, string> {
    const map = new Map<string, string>()
    for (const [name, line] of this.#shape.lines) map.set(name, this.#value(line))
    return map
  }

  #value(line: number): string {
    const before = line === 0 ? this.#text.indexOf(LINE_END) : (this.#ends[line - 1] as number)
    const start = this.#shape.starts[line] as string // as many as there are lines
    return this.#text.slice(before + LINE_END.length + start.length, this.#ends[line]).trim()
  }
}
