import { describe, expect, test } from 'vitest'
import { errorTypeOfAnswer, methodOf, routeOf } from './http-names.ts'

describe('names of HTTP requests in telemetry', () => {
  test('methods are a closed set', () => {
    expect(methodOf({ method: 'POST' })).toBe('POST')
    expect(methodOf({ method: 'PROPFIND' })).toBe('_OTHER')
  })

  const named = (route: string | undefined, url = '/') =>
    routeOf({ routeOptions: { url: route } as Parameters<typeof routeOf>[0]['routeOptions'], url })

  test('routes are templates, never paths', () => {
    expect(named('/v1/results/:handle', '/v1/results/secret')).toBe('/v1/results/{handle}')
    expect(named('/docs/*', '/docs/x')).toBe('/docs/*')
    expect(named(undefined, '/made-up')).toBeUndefined()
  })

  test.each([
    ['churn', '{model}'],
    ['churn/', '{model}'],
    ['churn/infer', '{model}/infer'],
    ['churn/infer/?x=/ready', '{model}/infer'],
    ['team/churn/versions/3/infer', '{model}/versions/{version}/infer'],
    ['churn/versions/3', '{model}/versions/{version}'],
    ['churn/versions/3/stats#x', '{model}/versions/{version}/stats'],
    ['churn/made-up', '{model}'],
    ['stats', 'stats'],
    ['stats?x', 'stats'],
    ['infer', '{model}'],
    ['versions/3', '{model}'],
    ['', '{model}'],
    ['?x/infer', '{model}'],
  ])('what is asked of a model is told without its name: %s', (path, route) => {
    expect(named('/v2/models/*', `/v2/models/${path}`)).toBe(`/v2/models/${route}`)
  })

  test('a path that is long is read at once', () => {
    const url = `/v2/models/${'/versions/'.repeat(100_000)}`
    expect(named('/v2/models/*', url)).toBe('/v2/models/{model}')
  })

  test('what failed says so', () => {
    expect([undefined, 200, 404, 500, 504].map(errorTypeOfAnswer)).toEqual([
      ...['aborted', undefined, undefined, '500', '504'],
    ])
  })
})
