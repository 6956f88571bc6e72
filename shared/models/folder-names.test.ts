import { expect, it } from 'vitest'
import { describeUnversioned, isNoise, isVersion, meantVersion } from './folder-names.ts'

it.each(['lost+found', '@eaDir', '__pycache__', '.git', '..data', '#recycle', 'System Volume Information'])(
  '%s is nobody’s model',
  (name) => expect(isNoise(name)).toBe(true),
)

it.each(['churn', 'lost', 'eaDir', 'pycache', 'node'])('%s may be a model', (name) =>
  expect(isNoise(name)).toBe(false),
)

it.each([
  ['v3', '3'],
  ['V12', '12'],
  ['version_2', '2'],
  ['001', '1'],
  ['v-07', '7'],
  ['2026-01-31', '20260131'],
  ['1.0', undefined],
  ['v1.2', undefined],
  ['000', undefined],
  ['assets', undefined],
])('a folder %s was meant to be version %s', (name, meant) => {
  expect(isVersion(name)).toBe(false)
  expect(meantVersion(name)).toBe(meant)
  if (meant !== undefined) expect(isVersion(meant)).toBe(true)
})

it('folders beside versions are told with their way out, but for those a model may have for itself', () => {
  expect(describeUnversioned(['v3', 'assets', '@eaDir', '1.0'])).toBe(
    'version folder "v3": rename it to "3"; version folder "1.0": rename it to a positive integer',
  )
  expect(describeUnversioned(['assets', '__pycache__'])).toBeUndefined()
})
