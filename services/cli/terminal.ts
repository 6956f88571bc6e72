import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { stringify } from 'lossless-json'
import { alignColumns } from '../../shared/runtime/columns.ts'
import { cutToWidth, printable, printableJson, widthOf } from '../../shared/runtime/printable.ts'
import { standardError, standardOutput } from '../../shared/runtime/standard-streams.ts'

/**
 * Where a command writes: results to standard output, everything about the work to standard error. What stands in a text
 * is shown, never obeyed: each text is one line, without its own colours, see {@link printable}.
 */
export interface Terminal {
  /** Whether a person watches the results: else no colours and no moving lines. */
  readonly isInteractive: boolean
  /** A result, one line. */
  print(text: string): void
  /**
   * A result as one line of JSON; bigints and lossless numbers keep every digit. Its value is exact: what must not reach
   * a terminal is escaped as JSON escapes it.
   */
  json(value: unknown): void
  /** Rows in columns as wide as they need; the first is the heading. */
  table(rows: readonly (readonly string[])[]): void
  /** News about the work, one line. */
  note(text: string): void
  /** The one line that changes: shown in place on a terminal, every few seconds elsewhere. */
  progress(text: string): void
  /** Several lines that change in place. For terminals only: see {@link isInteractive}. */
  view(lines: readonly string[]): void
  /** Emphasis, on a terminal only. */
  strong(text: string): string
  bad(text: string): string
  warn(text: string): string
  good(text: string): string
  faint(text: string): string
}

const QUIET_PROGRESS_MS = 3_000

/** Colours and moving lines only where a person watches, and never against NO_COLOR. */
export async function createTerminal(
  out: NodeJS.WriteStream = standardOutput(),
  err: NodeJS.WriteStream = standardError(),
): Promise<Terminal> {
  const isInteractive = out.isTTY === true && err.isTTY === true
  const styles = createStyles(out.isTTY === true && !process.env.NO_COLOR)
  const moving = err.isTTY ? await openMovingLines(err, styles) : NO_MOVING_LINES
  const write = (stream: NodeJS.WriteStream, line: string): void => {
    moving.clear()
    stream.write(`${line}\n`)
  }
  const print = (text: string): void => write(out, styles.show(text))
  // Beside a terminal only what takes long tells how far it is.
  let lastProgressAt = err.isTTY ? Number.NEGATIVE_INFINITY : performance.now()
  return {
    isInteractive,
    print,
    json: (value) => write(out, printableJson(stringify(value) ?? 'null')),
    table: (rows) => {
      for (const line of alignColumns(rows)) print(line)
    },
    note: (text) => write(err, styles.show(text)),
    progress: (text) => {
      if (performance.now() - lastProgressAt < (err.isTTY ? 100 : QUIET_PROGRESS_MS)) return
      lastProgressAt = performance.now()
      if (err.isTTY) moving.show([text])
      else err.write(`${styles.show(text)}\n`)
    },
    view: (lines) => moving.show(lines),
    strong: (text) => styles.style('bold', text),
    bad: (text) => styles.style('red', text),
    warn: (text) => styles.style('yellow', text),
    good: (text) => styles.style('green', text),
    faint: (text) => styles.style('dim', text),
  }
}

interface Styles {
  /** Asks for a style; only {@link Styles.show} turns that into what a terminal obeys. */
  style(format: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string): string
  /** A text as it goes out, cut to so many columns. */
  show(text: string, columns?: number): string
}

/**
 * Our own colours are asked for by marks nobody else can write, because they hold a secret of this process: an escape
 * sequence that stands in a text is not ours, and is shown as text.
 */
function createStyles(hasColor: boolean): Styles {
  const secret = randomBytes(8).toString('hex')
  const mark = (code: number | undefined): string => `\ufdd0${secret}:${code}\ufdd1`
  const marks = new RegExp(`\ufdd0${secret}:(\\d+)\ufdd1`, 'u')
  return {
    style: (format, text) => {
      if (!hasColor) return text
      const [begin, end] = inspect.colors[format] ?? []
      return `${mark(begin)}${text}${mark(end)}`
    },
    show: (text, columns = Number.POSITIVE_INFINITY) => {
      let left = columns
      // Split by a pattern with a group, every second part is a code.
      const shown = text.split(marks).map((part, index) => {
        if (index % 2 === 1) return `\u001b[${part}m`
        const cut = cutToWidth(printable(part), left)
        left -= widthOf(cut)
        return cut
      })
      return shown.join('')
    },
  }
}

interface MovingLines {
  clear(): void
  show(lines: readonly string[]): void
}

const NO_MOVING_LINES: MovingLines = { clear: () => undefined, show: () => undefined }

/**
 * Lines that are written over. They are cut to the width: a line that wraps would leave its rest behind. What writes them
 * is loaded where there is a terminal only.
 */
async function openMovingLines(err: NodeJS.WriteStream, styles: Styles): Promise<MovingLines> {
  const { createLogUpdate } = await import('log-update')
  const update = createLogUpdate(err, { showCursor: true })
  return {
    clear: () => {
      update.clear()
    },
    show: (lines) => {
      const width = (err.columns || 80) - 1
      update(lines.map((line) => styles.show(line, width)).join('\n'))
    },
  }
}
