import { test as base } from 'vitest'

/**
 * Tests that each open something of their own and close it at the end, so that they can run beside each other: most of
 * their time is waiting. `const test = staged(openPipeline)`, then `test('…', async ({ stage }) => …)`.
 */
export function staged<Stage extends { close(): Promise<void> }>(open: () => Promise<Stage>) {
  return base.extend<{ stage: Stage }>({
    // biome-ignore lint/correctness/noEmptyPattern: what a fixture needs is read from its parameter
    stage: async ({}, use) => {
      const stage = await open()
      await use(stage)
      await stage.close()
    },
  })
}
