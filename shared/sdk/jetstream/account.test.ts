import { describe, expect, it } from 'vitest'
import { accountOf } from './account.ts'

const ANY = Number.POSITIVE_INFINITY

describe('accountOf', () => {
  it('has no limit where the account names none', () => {
    const limits = { max_storage: -1, max_streams: -1, max_consumers: 0, max_ack_pending: -1 }
    expect(accountOf({ streams: 3, reserved_storage: 5, limits }, 1)).toEqual({
      hasTier: true,
      tiers: [],
      streams: 3,
      maxStreams: ANY,
      maxConsumers: ANY,
      maxAckPending: ANY,
      maxStorage: ANY,
      storage: 0,
      reservedStorage: 5,
      counts: 1,
      maxStreamBytes: ANY,
      needsMaxBytes: false,
    })
  })

  it('counts each copy where limits are for all streams', () => {
    const limits = { max_storage: 100, storage_max_stream_bytes: 10, max_bytes_required: true }
    expect(accountOf({ limits }, 3)).toMatchObject({
      maxStorage: 100,
      maxStreamBytes: 10,
      needsMaxBytes: true,
      counts: 3,
    })
  })

  it('takes no storage at all for a limit', () => {
    expect(accountOf({ limits: { max_storage: 0 } }, 1).maxStorage).toBe(0)
  })

  it('goes by the tier for so many copies, in which a stream counts once', () => {
    const tiers = {
      R1: { streams: 1, limits: { max_streams: 2 } },
      R3: { streams: 7, reserved_storage: 9, limits: { max_streams: 20, max_storage: 50 } },
    }
    expect(accountOf({ streams: 8, limits: { max_streams: 0 }, tiers }, 3)).toMatchObject({
      tier: 'R3',
      hasTier: true,
      streams: 7,
      maxStreams: 20,
      maxStorage: 50,
      reservedStorage: 9,
      counts: 1,
    })
    expect(accountOf({ tiers }, 5)).toMatchObject({ tier: 'R5', hasTier: false, tiers: ['R1', 'R3'] })
  })
})
