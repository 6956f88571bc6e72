import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { eventHeapFlags } from '../../shared/runtime/heap-flags.ts'

const CHURN = new URL('../../test/kit/churn-process.ts', import.meta.url).pathname

/** How often the whole heap was collected, and its young part, while half a GB of events went through a part of a worker. */
async function collectionsOf(part: string): Promise<{ readonly whole: number; readonly young: number }> {
  const args = [...eventHeapFlags({}), '--import', 'tsx', CHURN, part]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout)
}

describe('events that have gone are garbage at once, in a heap that is old', () => {
  test.each(['held', 'dispatcher', 'flows'])('where they went through: %s', async (part) => {
    const { whole, young } = await collectionsOf(part)
    expect(young).toBeGreaterThan(10)
    // A Set there made it three and six.
    expect(whole).toBeLessThanOrEqual(2)
  })
})
