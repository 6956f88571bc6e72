import type { IncomingMessage } from 'node:http'
import { describe, expect, test } from 'vitest'
import { hostCheck } from '../../../shared/runtime/host-names.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { type RequestRules, refusalOf } from './request-check.ts'

const RULES: RequestRules = {
  limits: DEFAULT_LIMITS,
  isOurs: hostCheck('127.0.0.1', undefined),
  origins: new Set(['https://app.example']),
}

function refusal(headers: Readonly<Record<string, string>>, method = 'POST', rules = RULES) {
  const head = { method, headers, url: '/v2/x', httpVersion: '1.1', httpVersionMajor: 1, rawHeaders: [] }
  return refusalOf(head as unknown as IncomingMessage, rules)
}

describe('on loopback', () => {
  test.each<[string, Record<string, string>, number | undefined]>([
    ['by its name', { host: 'localhost:8080' }, undefined],
    ['by an address', { host: '[::1]:8080' }, undefined],
    ['from its own page', { host: '127.0.0.1:8080', origin: 'http://127.0.0.1:8080' }, undefined],
    ['from a page that may', { host: 'localhost', origin: 'https://app.example' }, undefined],
    ['from a page of another site', { host: 'localhost', origin: 'https://evil.example' }, 403],
    ['from another port', { host: 'localhost:8080', origin: 'http://localhost:9090' }, 403],
    ['from a page without an origin', { host: 'localhost', origin: 'null' }, 403],
    ['by a name that was made to mean this machine', { host: 'evil.example:8080' }, 421],
    ['likewise, from its page', { host: 'evil.example', origin: 'http://evil.example' }, 421],
  ])('a request %s (%j) is refused with %s', (_what, headers, expected) => {
    const refused = refusal(headers)
    expect(refused?.status).toBe(expected)
    if (refused !== undefined) expect(refused.details.remedy).toMatch(/\w/)
  })

  test('a page of another site reads nothing and may look: CORS hides from it what it gets', () => {
    expect(refusal({ host: 'localhost', origin: 'https://evil.example' }, 'GET')).toBeUndefined()
  })

  test('a name that was allowed is ours', () => {
    const rules = { ...RULES, isOurs: hostCheck('127.0.0.1', 'gateway.example') }
    expect(refusal({ host: 'gateway.example:8480' }, 'POST', rules)).toBeUndefined()
  })
})
