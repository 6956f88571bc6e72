import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { run, whyNoEngine } from './engine.ts'

const missing = whyNoEngine()
const title = `against a nats container${missing === undefined ? '' : ` (not here: ${missing})`}`

/** What touches the broker most; the files are those of the integration tests, unchanged. */
const FILES = ['worker', 'audit', 'replay', 'jetstream-provision', 'jetstream-publish-window']

const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')

describe.skipIf(missing !== undefined)(title, () => {
  test.each(FILES)('test/integration/%s.test.ts passes', async (file) => {
    const args = [vitest, 'run', '--project', 'integration', `test/integration/${file}.test.ts`]
    const { code, text } = await run(process.execPath, args, { PELTON_TEST_BROKER: 'container' })
    expect(code, text.slice(-6_000)).toBe(0)
  })
})
