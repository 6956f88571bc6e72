import { readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'

/** A loop that only looks and sleeps: what it waits for may never come, and then nothing says what that was. */
const WAITING = /^\s*(?:while \(.*await (?:sleep|new Promise)\b|for \(;;\) \{$)/m

/** Loops that end with what they watch: they are the watching. */
const WATCHERS = new Set(['test/kit/wait.ts', 'test/kit/leader-watch.ts', 'test/faults/kit/conclude.ts'])

test('what tests wait for has an end and a name: they wait by eventually', async () => {
  const files = (await readdir(`${ROOT}test`, { recursive: true })).map((file) => `test/${file}`)
  const checked = files.filter(
    (file) => /\.ts$/.test(file) && !/^test\/(?:bench|scale|scenarios)\//.test(file),
  )
  expect(checked.length).toBeGreaterThan(80)
  const waiting: string[] = []
  for (const file of checked) if (WAITING.test(await readFile(`${ROOT}${file}`, 'utf8'))) waiting.push(file)
  expect(new Set(waiting)).toEqual(WATCHERS)
})
