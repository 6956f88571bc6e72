import { describe, expect, test } from 'vitest'
import { errorTypeOfAnswer, methodOf, routeOf } from './http-names.ts'

describe('names of HTTP requests in telemetry', () => {
  test('methods are a closed set', () => {
    expect(methodOf({ method: 'POST' })).toBe('POST')
    expect(methodOf({ method: 'PROPFIND' })).toBe('_OTHER')
  })

  test('routes are templates, never paths', () => {
    const named = (url: string | undefined) =>
      routeOf({ routeOptions: { url } as Parameters<typeof routeOf>[0]['routeOptions'] })
    expect(named('/v2/models/:model/versions/:version/infer')).toBe(
      '/v2/models/{model}/versions/{version}/infer',
    )
    expect(named('/docs/*')).toBe('/docs/*')
    expect(named(undefined)).toBeUndefined()
  })

  test('what failed says so', () => {
    expect([undefined, 200, 404, 500, 504].map(errorTypeOfAnswer)).toEqual([
      ...['aborted', undefined, undefined, '500', '504'],
    ])
  })
})
