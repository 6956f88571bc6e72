import { printable } from './printable.ts'

/** A line of results for people, on standard output: see {@link printable}. Ends of lines in it are kept. */
export function printLine(text: string): void {
  process.stdout.write(`${cleaned(text)}\n`)
}

/** A line about the work, on standard error; likewise. */
export function noteLine(text: string): void {
  process.stderr.write(`${cleaned(text)}\n`)
}

function cleaned(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** Standard output itself, for a terminal that cleans what it prints, and for bytes that go out exactly as they are. */
export function standardOutput(): NodeJS.WriteStream {
  return process.stdout
}

/** Standard error itself, for a terminal that cleans what it prints. */
export function standardError(): NodeJS.WriteStream {
  return process.stderr
}
