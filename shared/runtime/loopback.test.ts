import { expect, it } from 'vitest'
import { isLoopback } from './loopback.ts'

it.each([
  ['127.0.0.1', true],
  ['127.1.2.3', true],
  ['::1', true],
  ['localhost', true],
  ['0.0.0.0', false],
  ['::', false],
  ['10.0.0.1', false],
  ['127.example.org', false],
])('that only this machine reaches %s is %s', (host, isOurs) => {
  expect(isLoopback(host)).toBe(isOurs)
})
