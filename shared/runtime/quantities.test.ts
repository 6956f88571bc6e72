import { describe, expect, it } from 'vitest'
import { showBytes, showDuration, showShare } from './quantities.ts'

describe('quantities', () => {
  it('are shown for people', () => {
    expect([showBytes(0), showBytes(1023), showBytes(1536), showBytes(20 * 1024 ** 3)]).toEqual([
      '0 B',
      '1023 B',
      '1.5 KiB',
      '20 GiB',
    ])
    expect([showDuration(850), showDuration(2_500), showDuration(180_000), showDuration(86_400_000)]).toEqual(
      ['850 ms', '2.5 s', '3 min', '24.0 h'],
    )
    expect([showShare(0), showShare(0.004), showShare(0.5), showShare(1)]).toEqual([
      '0 %',
      '0.4 %',
      '50 %',
      '100 %',
    ])
  })
})
