import { expect, it } from 'vitest'
import { UsageError } from '../compare/options.ts'
import { CONTESTANTS } from './contestants.ts'
import { chosen } from './peers.ts'

const names = (only: readonly string[] | undefined) => chosen(CONTESTANTS, only).map(({ name }) => name)

it('a name stands for one, the beginning of several for all of them', () => {
  expect(names(['floor', 'pelton'])).toEqual(['pelton', 'floor'])
  expect(names(['bullmq', 'afternoon-1'])).toEqual(['afternoon-1', 'bullmq-32', 'bullmq-128'])
  expect(names(undefined)).toHaveLength(CONTESTANTS.length)
})

it('a name that nobody has is refused, with those there are', () => {
  expect(() => names(['celery'])).toThrow(UsageError)
  expect(() => names(['celery'])).toThrow(/nobody is called celery: pelton, floor/)
})
