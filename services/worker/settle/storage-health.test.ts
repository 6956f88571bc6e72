import { describe, expect, test } from 'vitest'
import { StorageHealth, type Try } from './storage-health.ts'

interface Watched {
  readonly health: StorageHealth
  readonly changes: Record<string, string>[]
  readonly abort: AbortController
}

function watched(): Watched {
  const changes: Record<string, string>[] = []
  const abort = new AbortController()
  return {
    health: new StorageHealth(abort.signal, (refusing) => changes.push(Object.fromEntries(refusing))),
    changes,
    abort,
  }
}

function answers<Answer>(...tries: Try<Answer>[]): () => Promise<Try<Answer>> {
  return async () => tries.shift() as Try<Answer>
}

describe('storage health', () => {
  test('says nothing about a stream that answers at once, or after one unknown', async () => {
    const { health, changes } = watched()
    expect(await health.until('RESULTS', answers({ answer: 1 }))).toBe(1)
    expect(
      await health.until('RESULTS', answers({ again: 'unknown', because: 'election' }, { answer: 2 })),
    ).toBe(2)
    expect(
      await health.until(
        'RESULTS',
        answers({ again: 'open', because: 'claim' }, { again: 'open', because: 'claim' }, { answer: 3 }),
      ),
    ).toBe(3)
    expect(changes).toEqual([])
  })

  test('a stream is in trouble from its first refusal, or second unknown, until the answer, whatever the answer is', async () => {
    const { health, changes } = watched()
    await health.until(
      'RESULTS',
      answers<string>({ again: 'refused', because: 'full' }, { answer: 'already answered' }),
    )
    await health.until(
      'LEDGER',
      answers<number>({ again: 'unknown', because: 'a' }, { again: 'unknown', because: 'b' }, { answer: 1 }),
    )
    expect(changes).toEqual([{ RESULTS: 'full' }, {}, { LEDGER: 'b' }, {}])
  })

  test('stays in trouble while anything waits for the stream', async () => {
    const { health, changes } = watched()
    let free = (): void => {}
    const held = new Promise<Try<number>>((resolve) => {
      free = () => resolve({ answer: 1 })
    })
    const first = [{ again: 'refused', because: 'full' } as const]
    const slow = health.until<number>('RESULTS', async () => first.shift() ?? held)
    await health.until('RESULTS', answers<number>({ again: 'refused', because: 'full' }, { answer: 2 }))
    expect(Object.fromEntries(health.refusing)).toEqual({ RESULTS: 'full' })
    free()
    await slow
    expect(changes).toEqual([{ RESULTS: 'full' }, {}])
  })

  test('ends waiting when aborted, and is in no trouble then', async () => {
    const { health, abort } = watched()
    const waiting = health.until('RESULTS', async () => ({ again: 'refused', because: 'full' }))
    setImmediate(() => abort.abort())
    await expect(waiting).rejects.toThrow(/abort/i)
    expect(health.refusing.size).toBe(0)
  })
})
