import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ERRORS } from '../../shared/sdk/errors.ts'
import { ROOT } from './observability-files.ts'
import { sources } from './sources.ts'

const TABLE = 'shared/sdk/errors.ts'

/** Codes that a source makes an error or a failure with. */
function producedBy(code: string): string[] {
  const made = /(?:PeltonError\(\s*(?:\w+,\s*)?|reason: )'([a-z-]+)'/g
  return [...code.matchAll(made)].map(([, named = '']) => named)
}

test('a code is found where an error, a fallback or a failure is made with it, and nowhere else', () => {
  const code =
    "new PeltonError('closed', 'it is'); toPeltonError(thrown, 'internal', ''); ({ reason: 'timed-out' })"
  expect(producedBy(code)).toEqual(['closed', 'internal', 'timed-out'])
  expect(producedBy("if (error.code === 'conflict') return ['shed']")).toEqual([])
})

test('every code of the table is produced somewhere', async () => {
  const produced = new Set<string>()
  for (const file of await sources())
    if (file !== TABLE)
      for (const code of producedBy(await readFile(`${ROOT}${file}`, 'utf8'))) produced.add(code)
  expect(Object.keys(ERRORS).filter((code) => !produced.has(code))).toEqual([])
})
