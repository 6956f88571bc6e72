import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'

/** Where a merge begins and ends its two sides; seven `=` alone may underline a heading. */
const MARKERS = '^(<{7}|>{7}|[|]{7})( |$)'

/** `git grep` in the files git tracks, binary ones left out: it exits with 1 where there is nothing. */
async function linesThatMatch(pattern: string): Promise<readonly string[]> {
  const found = promisify(execFile)('git', ['grep', '-nIE', pattern], { cwd: ROOT })
  const { stdout } = await found.catch((failed: { readonly code?: unknown }) => {
    if (failed.code === 1) return { stdout: '' }
    throw failed
  })
  return stdout.split('\n').filter((line) => line !== '')
}

test('no tracked file has the markers of a merge that was not ended', async () => {
  expect(await linesThatMatch('^# Architecture$')).not.toHaveLength(0)
  expect(await linesThatMatch(MARKERS)).toEqual([])
})
