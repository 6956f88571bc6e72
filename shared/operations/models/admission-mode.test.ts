import { expect, it } from 'vitest'
import { admissionModeOf } from './admission-mode.ts'

const MANIFEST = { admission: { mode: 'observe' } } as const

it('is what the operator said, or else what the manifest says', () => {
  expect(admissionModeOf({ admission: { mode: 'off', by: 'ops', at: 1 } }, MANIFEST)).toBe('off')
  expect(admissionModeOf({}, MANIFEST)).toBe('observe')
  expect(admissionModeOf(undefined, MANIFEST)).toBe('observe')
})
