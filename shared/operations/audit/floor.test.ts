import { describe, expect, test } from 'vitest'
import { decodeFloor, encodeFloor, type Floor } from './floor.ts'

const FLOOR: Floor = {
  epoch: '2026-01-31T12:00:00Z',
  sequence: 20,
  ledger: { epoch: '2026-01-31T12:00:01Z', next: 7 },
  at: '2026-01-31T13:00:00Z',
  waiting: [
    [3, 3],
    [8, 12],
  ],
  retries: [{ token: 'A'.repeat(22), stream: 'FEATURES', sequence: 4 }],
}

describe('floor', () => {
  test('comes back as it was stored', () => {
    expect(decodeFloor(encodeFloor(FLOOR))).toEqual(FLOOR)
    const empty = { ...FLOOR, waiting: [], retries: [] }
    expect(decodeFloor(encodeFloor(empty))).toEqual(empty)
  })

  test.each(['', '{}', '[]', 'null', '{"v":2}', '{"v":1,"waiting":"x","ledger":{}}'])(
    'is none where %j is stored',
    (text) => expect(decodeFloor(new TextEncoder().encode(text))).toBeUndefined(),
  )

  test.each([
    ['waits beyond its end', { waiting: '3,8-900000000000000' }],
    ['waits in no order', { waiting: '8-12,3' }],
    ['waits twice', { waiting: '3-8,8-12' }],
    ['waits for what is no sequence', { waiting: '0-3' }],
    ['was signed off at no time', { at: 'then' }],
  ])('is none where it %s', (_what, damage) => {
    const wire = JSON.parse(new TextDecoder().decode(encodeFloor(FLOOR)))
    const bytes = new TextEncoder().encode(JSON.stringify({ ...wire, ...damage }))
    expect(decodeFloor(bytes)).toBeUndefined()
  })
})
