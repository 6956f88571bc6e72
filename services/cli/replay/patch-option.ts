import { readFile } from 'node:fs/promises'
import { readPatch } from '../../../shared/operations/replay/json-patch.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'

/**
 * The text of a patch, given as a file or as the JSON itself. One that is none is refused before anything is asked of
 * the broker.
 *
 * @throws PeltonError `invalid-argument`
 */
export async function readPatchOption(given: string): Promise<string> {
  const isInline = /^\s*[[{]/.test(given)
  const text = isInline
    ? given
    : await readFile(given, 'utf8').catch((cause: unknown) => {
        const remedy = 'Name a file that exists, or give the JSON itself.'
        const details = { field: '--patch', value: given, remedy }
        throw new PeltonError('invalid-argument', 'the file cannot be read', details, cause)
      })
  readPatch(text)
  return text
}
