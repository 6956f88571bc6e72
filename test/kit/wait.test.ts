import { expect, test } from 'vitest'
import { eventually } from './wait.ts'

test('returns what is there, and what comes', async () => {
  expect(await eventually('a number', () => 0)).toBe(0)
  const values = [undefined, false, 'late']
  expect(await eventually('a word', () => values.shift() as string | undefined | false, { everyMs: 1 })).toBe(
    'late',
  )
})

test('names what never came, and what was there instead', async () => {
  const options = { limitMs: 5, everyMs: 1, seen: () => ['one', 'two'] }
  await expect(eventually('three words', () => false, options)).rejects.toThrow(
    'waited in vain for three words, 0.005 s; seen instead: ["one","two"]',
  )
})
