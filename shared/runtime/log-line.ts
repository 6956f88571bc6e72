/** A line of a service's log. */
export interface LogLine extends Readonly<Record<string, unknown>> {
  readonly level: string
  readonly msg: string
}

/** Who wrote it and when: known to whoever reads a line as it comes. */
const OF_EVERY_LINE = new Set([
  ...['level', 'time', 'pid', 'hostname', 'name', 'worker', 'control', 'gateway', 'msg'],
  ...['trace_id', 'span_id', 'model', 'version', 'err', 'remedy'],
])
const TELLING = new Set(['warn', 'error', 'fatal'])
/** Longer than any line of ours; a line is read by people, and written by whoever sent an event. */
const MAX_SHOWN = 1_000

/** @returns undefined for a line that is none of a log */
export function parseLogLine(line: string): LogLine | undefined {
  try {
    const entry: unknown = JSON.parse(line)
    const isOurs = typeof entry === 'object' && entry !== null && 'level' in entry && 'msg' in entry
    return isOurs ? (entry as LogLine) : undefined
  } catch {
    return undefined
  }
}

/**
 * What a line of a process says to people: a log line from `warn` on with all it knows, its model first; any other line (a
 * crash) as it is. Bounded.
 *
 * @returns undefined for a log line below `warn`
 */
export function describeLine(line: string): string | undefined {
  const entry = parseLogLine(line)
  if (entry === undefined) return bounded(line)
  if (!TELLING.has(entry.level)) return undefined
  const { level, msg, model, version, err, remedy } = entry
  const of = model === undefined ? '' : `${model}${version === undefined ? '' : ` version ${version}`}: `
  const cause = (err as { readonly message?: unknown } | undefined)?.message
  const facts = Object.entries(entry)
    .filter(([name]) => !OF_EVERY_LINE.has(name))
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
  const about = [...(cause === undefined ? [] : [cause]), ...facts].join(', ')
  const mend = remedy === undefined ? '' : `. ${remedy}`
  return bounded(`${level}: ${of}${msg}${about === '' ? '' : ` (${about})`}${mend}`)
}

function bounded(text: string): string {
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN - 1)}…`
}
