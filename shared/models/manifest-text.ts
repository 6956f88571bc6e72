import { parseDocument } from 'yaml'
import { PeltonError, showValue } from '../sdk/errors.ts'
import { seeModels } from './models-page.ts'

/** Longer manifests are refused unread. */
const MAX_CHARACTERS = 1_048_576

/**
 * The value of a YAML or JSON text (JSON is YAML). Integers beyond 2^53 are bigints, everything else plain values.
 * Throws `invalid-configuration` with every mistake and its line; repeated keys and more than 100 aliases are mistakes.
 */
export function readManifestText(text: string, file: string): unknown {
  if (text.length > MAX_CHARACTERS) {
    throw invalid(file, `${text.length} characters`, `Keep it below ${MAX_CHARACTERS} characters.`)
  }
  const document = parseDocument(text, {
    schema: 'core',
    intAsBigInt: true,
    prettyErrors: false,
    strict: true,
  })
  const mistakes = [...document.errors, ...document.warnings]
  if (mistakes.length > 0) {
    const list = mistakes.map((mistake) => `line ${lineOf(text, mistake.pos[0])}: ${mistake.message}`)
    throw invalid(file, `${mistakes.length} mistakes`, `${list.join('; ')}.`)
  }
  try {
    return toPlain(document.toJS({ maxAliasCount: 100 }))
  } catch (cause) {
    throw invalid(
      file,
      showValue(String(cause)),
      'Write values out instead of repeating them by alias.',
      cause,
    )
  }
}

function toPlain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
  }
  if (Array.isArray(value)) return value.map(toPlain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, toPlain(member)]))
}

function lineOf(text: string, position: number): number {
  return text.slice(0, position).split('\n').length
}

function invalid(file: string, value: string, remedy: string, cause?: unknown): PeltonError {
  const details = { field: file, value, remedy: `${remedy} ${seeModels('manifest')}` }
  return new PeltonError('invalid-configuration', 'the manifest is no valid YAML or JSON', details, cause)
}
