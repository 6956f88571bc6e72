import { styleText } from 'node:util'
import { stringify } from 'lossless-json'
import { alignColumns } from '../../shared/runtime/columns.ts'

/** Where a command writes: results to standard output, everything about the work to standard error. */
export interface Terminal {
  /** Whether a person watches the results: else no colours and no moving lines. */
  readonly isInteractive: boolean
  /** A result. */
  print(text: string): void
  /** A result as one line of JSON; bigints and lossless numbers keep every digit. */
  json(value: unknown): void
  /** Rows in columns as wide as they need; the first is the heading. */
  table(rows: readonly (readonly string[])[]): void
  /** News about the work. */
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
  out: NodeJS.WriteStream = process.stdout,
  err: NodeJS.WriteStream = process.stderr,
): Promise<Terminal> {
  const isInteractive = out.isTTY === true && err.isTTY === true
  const hasColor = out.isTTY === true && !process.env.NO_COLOR
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    hasColor ? styleText(format, text) : text
  const moving = err.isTTY ? await openMovingLines(err) : NO_MOVING_LINES
  const print = (text: string): void => {
    moving.clear()
    out.write(`${text}\n`)
  }
  let lastProgressAt = Number.NEGATIVE_INFINITY
  return {
    isInteractive,
    print,
    json: (value) => print(stringify(value) ?? 'null'),
    table: (rows) => {
      for (const line of alignColumns(rows)) print(line)
    },
    note: (text) => {
      moving.clear()
      err.write(`${text}\n`)
    },
    progress: (text) => {
      if (performance.now() - lastProgressAt < (err.isTTY ? 100 : QUIET_PROGRESS_MS)) return
      lastProgressAt = performance.now()
      if (err.isTTY) moving.show([text])
      else err.write(`${text}\n`)
    },
    view: (lines) => moving.show(lines),
    strong: (text) => style('bold', text),
    bad: (text) => style('red', text),
    warn: (text) => style('yellow', text),
    good: (text) => style('green', text),
    faint: (text) => style('dim', text),
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
async function openMovingLines(err: NodeJS.WriteStream): Promise<MovingLines> {
  const { createLogUpdate } = await import('log-update')
  const update = createLogUpdate(err, { showCursor: true })
  return {
    clear: () => {
      update.clear()
    },
    show: (lines) => {
      const width = (err.columns || 80) - 1
      update(lines.map((line) => line.slice(0, width)).join('\n'))
    },
  }
}
