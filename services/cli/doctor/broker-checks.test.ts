import { describe, expect, it } from 'vitest'
import { judgeAccount } from './broker-checks.ts'

const GIB = 1024 ** 3
const said = (...given: Parameters<typeof judgeAccount>): string[] =>
  judgeAccount(...given).map(({ level, text }) => `${level}: ${text}`)

describe('judgeAccount', () => {
  it('tells what is stored, and of which limit', () => {
    const limits = { max_storage: 10 * GIB, max_streams: 20 }
    expect(said({ storage: GIB, limits: { max_storage: -1, max_streams: -1 } }, 1)).toEqual([
      'ok: JetStream is on, 1.0 GiB stored, no limit of the account',
    ])
    expect(said({ storage: GIB, reserved_storage: 2 * GIB, limits }, 1)).toEqual([
      'ok: JetStream is on, 1.0 GiB of 10 GiB stored (20 % used or reserved)',
    ])
    expect(
      said({ storage: GIB, reserved_storage: 9 * GIB, limits: { ...limits, max_streams: 5 } }, 1),
    ).toEqual([
      'warn: JetStream is on, 1.0 GiB of 10 GiB stored (90 % used or reserved)',
      'warn: it allows 5 streams, Pelton needs 10',
    ])
  })

  it('goes by the tier for the copies that are wanted', () => {
    const tiers = {
      R1: { storage: GIB, limits: { max_storage: 2 * GIB, max_streams: 5 } },
      R3: { storage: 0, limits: { max_storage: 4 * GIB, max_streams: 30 } },
    }
    expect(said({ storage: GIB, limits: { max_streams: 0, max_storage: 0 }, tiers }, 3)).toEqual([
      'ok: JetStream is on, 0 B of 4.0 GiB stored (0 % used or reserved)',
    ])
    expect(said({ tiers }, 1)).toContain('warn: it allows 5 streams, Pelton needs 10')
    expect(said({ tiers }, 5)).toEqual(['fail: it allows no streams with 5 copies (R5)'])
  })
})
