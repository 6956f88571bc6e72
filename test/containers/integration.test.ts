import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ROOT, run, whyNoEngine } from './engine.ts'

const missing = whyNoEngine()
const title = `the integration tests against a nats container${missing === undefined ? '' : ` (not here: ${missing})`}`

/** What has no broker to put into a container, or is about one that is not in one. */
const WITHOUT = new Map([
  ['backup', 'copies the data folder of a local server'],
  ['cli', 'runs commands that bring their own broker'],
  ['delivery-page', 'reads a page'],
  ['jetstream-connect', 'is about servers of other versions and settings'],
  ['keep-broker', 'is about the broker of `pelton up`'],
  ['kit-cluster', 'is about clusters of local servers'],
  ['kit-small-disk', 'fills the disk of a local server'],
  ['kit-tcp-proxy', 'is about the proxy of the kit'],
  ['power-loss', 'sets back the data folder of a local server'],
  ['rights-command', 'has no broker'],
  ['rights', 'starts servers with files of infra/nats; compose.test.ts has those in containers'],
  ['worker-limits', 'starts a server anew on the data of another'],
])

/** `PELTON_CONTAINER_TESTS=worker,audit` runs these only. */
const chosen = process.env.PELTON_CONTAINER_TESTS?.split(',')
const files = readdirSync(join(ROOT, 'test/integration'))
  .flatMap((name) => (name.endsWith('.test.ts') ? [name.slice(0, -'.test.ts'.length)] : []))
  .filter((name) => chosen?.includes(name) ?? !WITHOUT.has(name))

const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')

describe.skipIf(missing !== undefined)(title, () => {
  test.each(files)('test/integration/%s.test.ts passes', async (file) => {
    const args = [vitest, 'run', '--project', 'integration', `test/integration/${file}.test.ts`]
    const { code, text } = await run(process.execPath, args, { PELTON_TEST_BROKER: 'container' })
    expect(code, text.slice(-6_000)).toBe(0)
  })
})

test('names only files that exist among those it leaves out, and those it was asked for', () => {
  const present = readdirSync(join(ROOT, 'test/integration'))
  const named = [...WITHOUT.keys(), ...(chosen ?? [])]
  expect(named.filter((name) => !present.includes(`${name}.test.ts`))).toEqual([])
})
