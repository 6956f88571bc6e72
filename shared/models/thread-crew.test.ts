import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { createThreadCrew } from './thread-crew.ts'
import { startThread } from './thread-handle.ts'
import type { ThreadRequest } from './thread-messages.ts'

const path = fileURLToPath(new URL('../../test/models/linear.onnx', import.meta.url))
const load: ThreadRequest = { kind: 'load', model: { key: 'linear', path } }
const nowMs = (): number => 0

describe('thread crew', () => {
  it('replaces a thread that ends by itself', async () => {
    const changed = signal()
    const crew = createThreadCrew({ size: 2, limits: {}, nowMs, onChange: changed.resolve })
    const [first] = crew.threads.keys()
    await first?.send(load, [])
    await first?.stop()
    await changed.promise
    expect(crew.threads.size).toBe(2)
    expect([...crew.threads.keys()]).not.toContain(first)
    await Promise.all([...crew.threads.keys()].map((thread) => thread.send(load, [])))
    expect(crew.failure).toBeUndefined()
    await crew.stop()
    expect(crew.threads.size).toBe(0)
  })
})

describe('thread crew with limits', () => {
  it('knows which models a thread has closed for want of room', async () => {
    const crew = createThreadCrew({ size: 1, limits: { maxOpen: 2 }, nowMs, onChange: () => undefined })
    const [[thread, open] = []] = crew.threads
    const send = async (key: string): Promise<void> => {
      open?.use(key, 0)
      await thread?.send({ kind: 'load', model: { key, path } }, [])
    }
    for (const key of ['a', 'b', 'c']) await send(key)
    expect(['a', 'b', 'c'].map((key) => open?.has(key))).toEqual([false, true, true])
    // What is to be opened again, as its thread was told before it closed it, counts as open.
    await Promise.all([send('a'), send('b')])
    expect(['a', 'b', 'c'].map((key) => open?.has(key))).toEqual([true, true, false])
    await crew.stop()
  })
})

describe('thread', () => {
  it('rejects what it has not answered when it ends', async () => {
    let wasReady: boolean | undefined
    const thread = startThread({
      limits: {},
      nowMs,
      onExit: (isReady) => {
        wasReady = isReady
      },
    })
    await thread.send(load, [])
    const stopped = thread.stop()
    await expect(thread.send(load, [])).rejects.toMatchObject({ code: 'inference-failed' })
    await stopped
    expect([wasReady, thread.inFlight]).toEqual([true, 0])
  })

  it('tells what it is working on and since when', async () => {
    let time = 100
    const thread = startThread({ limits: {}, nowMs: () => time, onExit: () => undefined })
    const first = thread.send(load, [])
    const second = thread.send({ kind: 'unload', key: 'linear' }, [])
    expect(thread.current).toMatchObject({ request: load, sinceMs: 100 })
    time = 200
    await first
    expect(thread.current).toMatchObject({ request: { kind: 'unload', key: 'linear' }, sinceMs: 200 })
    await second
    expect(thread.current).toBeUndefined()
    await thread.stop()
  })
})

function signal(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
