import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { eventHeapFlags } from './heap-flags.ts'

it('are flags that this Node takes', () => {
  const flags = eventHeapFlags({})
  expect(flags.length).toBeGreaterThan(2)
  const { status, stderr } = spawnSync(process.execPath, [...flags, '--eval', ''])
  expect([status, stderr.toString()]).toEqual([0, ''])
})

it('leave out what NODE_OPTIONS says otherwise', () => {
  const flags = eventHeapFlags({ NODE_OPTIONS: '--no-warnings --max-semi-space-size=128' })
  expect(flags.map((flag) => flag.split('=')[0])).toEqual([
    '--min-semi-space-size',
    '--initial-old-space-size',
  ])
})
