import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { TokenTable } from './token-table.ts'

test('token table knows what was added and nothing else, filled to what it was made for', () => {
  const tokens = Array.from({ length: 20_000 }, (_, index) =>
    createHash('sha256').update(String(index)).digest('base64url').slice(0, 22),
  )
  const table = new TokenTable(10_000)
  for (const token of tokens.slice(0, 10_000)) table.add(token)
  expect(tokens.map((token) => table.has(token))).toEqual(tokens.map((_, index) => index < 10_000))
})
