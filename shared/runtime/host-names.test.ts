import { describe, expect, it } from 'vitest'
import { hostCheck, isLoopback } from './host-names.ts'

describe('isLoopback', () => {
  it.each([
    ['127.0.0.1', true],
    ['127.1.2.3', true],
    ['::1', true],
    ['localhost', true],
    ['0.0.0.0', false],
    ['::', false],
    ['10.0.0.1', false],
    ['127.example.org', false],
  ])('%s: %s', (host, isOurs) => {
    expect(isLoopback(host)).toBe(isOurs)
  })
})

describe('hostCheck', () => {
  it.each([
    ['127.0.0.1', undefined, 'localhost:8470', true],
    ['127.0.0.1', undefined, 'LOCALHOST', true],
    ['::1', undefined, '[::1]:8470', true],
    ['127.0.0.1', undefined, 'evil.example', false],
    ['127.0.0.1', undefined, '127.0.0.1.evil.example', false],
    ['127.0.0.1', undefined, undefined, false],
    ['127.0.0.1', 'ops.example', 'ops.example:80', true],
    ['127.0.0.1', 'ops.example', '127.0.0.1:80', true],
    ['127.0.0.1', 'ops.example', 'localhost', false],
    ['0.0.0.0', undefined, 'anything', true],
    ['0.0.0.0', 'a.example, b.example', 'b.example', true],
    ['0.0.0.0', 'a.example', 'c.example', false],
  ])('listening on %s, allowed %s, called %s: %s', (host, allowed, header, isOurs) => {
    expect(hostCheck(host, allowed)(header)).toBe(isOurs)
  })
})
