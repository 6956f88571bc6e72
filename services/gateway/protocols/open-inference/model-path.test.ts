import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readModelPath } from './model-path.ts'

/** As Python's `quote` does: slashes stay. */
function quote(name: string): string {
  return encodeURIComponent(name).replaceAll('%2F', '/')
}

const acts = fc.constantFrom('', '/ready', '/infer', '/stats', '/config', '/generate', '/trace/setting')
const actOf = (suffix: string): string => (suffix === '' ? 'metadata' : suffix.slice(1))
const names = fc.string({ unit: 'grapheme', minLength: 1 }).filter((name) => name.isWellFormed())
const versions = fc.option(
  fc.string({ unit: 'grapheme', minLength: 1 }).filter((each) => each.isWellFormed()),
)

describe('readModelPath', () => {
  test('finds every name, version and act again that were percent-encoded whole', () => {
    const anyName = fc.oneof(
      names,
      fc.constantFrom('infer', 'ready', 'a/b', 'a/versions/1', '..', '%2F', '.', 'a/stats'),
    )
    fc.assert(
      fc.property(anyName, versions, acts, (model, version, act) => {
        fc.pre(!(model === 'stats' && version === null && act === ''))
        const path = `${encodeURIComponent(model)}${version === null ? '' : `/versions/${encodeURIComponent(version)}`}${act}`
        const found = readModelPath(path)
        expect(found).toEqual({ model, version: version ?? undefined, act: actOf(act) })
        expect(readModelPath(`${path}/`)).toEqual(found)
      }),
    )
  })

  test('finds every name whose slashes were left, where it ends with no word of the protocol', () => {
    const parts = fc.array(
      names.map((name) => name.replaceAll('/', '_')),
      { minLength: 1, maxLength: 4 },
    )
    fc.assert(
      fc.property(parts, versions, acts, (segments, version, act) => {
        const model = segments.join('/')
        fc.pre(
          !/(?:^|\/)(?:infer|ready|stats|config|setting|versions|generate|\w+_stream)(?:\/|$)/.test(model),
        )
        const path = `${quote(model)}${version === null ? '' : `/versions/${encodeURIComponent(version)}`}${act}`
        expect(readModelPath(path)).toEqual({ model, version: version ?? undefined, act: actOf(act) })
      }),
    )
  })

  test.each([
    ['a', 'a', undefined, 'metadata'],
    ['a/b/infer', 'a/b', undefined, 'infer'],
    ['a%2Fb/versions/2/ready', 'a/b', '2', 'ready'],
    ['infer/infer', 'infer', undefined, 'infer'],
    ['infer', 'infer', undefined, 'metadata'],
    ['%73tats', 'stats', undefined, 'metadata'],
    ['stats/stats', 'stats', undefined, 'stats'],
    ['versions/versions/3', 'versions', '3', 'metadata'],
    ['a%2Finfer/infer', 'a/infer', undefined, 'infer'],
    ['../../etc/passwd', '../../etc/passwd', undefined, 'metadata'],
    ['%252F', '%2F', undefined, 'metadata'],
    ['m/trace/setting', 'm', undefined, 'trace/setting'],
  ])('reads %s', (path, model, version, act) => {
    expect(readModelPath(path)).toEqual({ model, version, act })
  })

  test('reads the path of all statistics', () => {
    expect(readModelPath('stats')).toEqual({ model: undefined, version: undefined, act: 'stats' })
  })

  test.each(['', '/', '/infer', 'a//b', '//'])('finds no model in %j', (path) => {
    expect(readModelPath(path)).toBeUndefined()
  })

  test.each(['%', 'a%zz/infer', '%ff', 'a/versions/%80'])('refuses broken encoding: %s', (path) => {
    expect(() => readModelPath(path)).toThrow(/percent-encoding/)
  })
})
