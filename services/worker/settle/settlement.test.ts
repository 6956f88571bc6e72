import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { LedgerEntry, LedgerRecord } from '../../../shared/sdk/contract/ledger.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { Concluded } from './outcome.ts'
import type { Stored, StoredOutcome } from './outcome-store.ts'
import { type SettlementDeps, settle } from './settlement.ts'

const EPOCH = '2026-01-01T00:00:00Z'

/** A delivery as settlement reads it: where it lies and whose it is. */
function concluded(sequence: number): Concluded {
  const delivery = {
    info: { stream: 'FEATURES', streamSequence: sequence },
    event: {
      token: `token-${sequence}`,
      supersedes: 0,
      origin: { stream: 'FEATURES', epoch: EPOCH, sequence },
    },
  }
  const outcome = { kind: 'predicted', body: Buffer.from('{}') } as unknown as Concluded['outcome']
  return { delivery: delivery as unknown as Delivery, outcome }
}

/** Notes what happens, in order. `store` says when and how an outcome is stored, by itself or together with others. */
function observe(store: (sequence: number) => Promise<Stored>, isWatched = false) {
  const log: string[] = []
  const sequenceOf = ({ info }: Delivery): number => info.streamSequence
  const deps: SettlementDeps = {
    store: async ({ delivery }) => ({ how: await store(sequenceOf(delivery)) }),
    storeAll: async (group, onStored) => {
      const storing = group.map(async ({ delivery }, at) =>
        onStored(at, { how: await store(sequenceOf(delivery)) }),
      )
      await Promise.all(storing)
    },
    isWatched: () => isWatched,
    record: async ({ entries }: Omit<LedgerRecord, 'by'>) => {
      log.push(`ledger ${entries.map(({ sequence, outcome }) => `${sequence} ${outcome}`).join(', ')}`)
    },
    held: {
      acknowledgeAll: (deliveries) => void log.push(...deliveries.map((each) => `ack ${sequenceOf(each)}`)),
      giveBack: (delivery) => void log.push(`give back ${sequenceOf(delivery)}`),
      keepAway: (delivery) => void log.push(`keep away ${sequenceOf(delivery)}`),
      drop: (delivery) => void log.push(`drop ${sequenceOf(delivery)}`),
    },
    onPredicted: () => undefined,
    epochs: new Map([['FEATURES', EPOCH]]),
    onDefect: (delivery, thrown) => void log.push(`defect ${sequenceOf(delivery)}: ${String(thrown)}`),
    onSettled: () => undefined,
  }
  return { log, deps }
}

afterEach(() => void vi.useRealTimers())

describe.each([
  ['together', false],
  ['one by one', true],
])('settle, where outcomes are stored %s', (_how, isWatched) => {
  it('acknowledges only after the ledger has named the deliveries, in one record', async () => {
    const { log, deps } = observe(async () => 'predicted', isWatched)
    await settle([concluded(1), concluded(2)], deps)
    expect(log).toEqual(['ledger 1 predicted, 2 predicted', 'ack 1', 'ack 2'])
  })

  it('says of each event how it ended, in the order of the group', async () => {
    const { log, deps } = observe(async (sequence) => {
      if (sequence === 1) await new Promise(setImmediate)
      return sequence === 2 ? 'returned' : 'predicted'
    }, isWatched)
    const group = [concluded(1), concluded(2), concluded(3)]
    const settled = await settle(group, deps)
    expect(settled.map(({ delivery }) => delivery)).toEqual(group.map(({ delivery }) => delivery))
    expect(settled.map(({ how }) => how)).toEqual(['predicted', 'returned', 'predicted'])
    expect(log).toContain('ack 1')
  })

  it('gives back what was not stored, and does not name it', async () => {
    const { log, deps } = observe(async (sequence) => (sequence === 1 ? 'returned' : 'predicted'), isWatched)
    await settle([concluded(1), concluded(2)], deps)
    expect(log).toEqual(['ledger 2 predicted', 'give back 1', 'ack 2'])
  })

  it('names what is parked as retried, and what stays in its stream not at all', async () => {
    const ends: Stored[] = ['parked', 'handed-on', 'held-back']
    const { log, deps } = observe(async (sequence) => ends[sequence - 1] ?? 'predicted', isWatched)
    await settle([concluded(1), concluded(2), concluded(3)], deps)
    expect(log).toEqual(['ledger 1 retried', 'keep away 2', 'keep away 3', 'ack 1'])
  })

  it('drops what others may have, and does not name it', async () => {
    const { log, deps } = observe(async (sequence) => (sequence === 1 ? 'dropped' : 'predicted'), isWatched)
    await settle([concluded(1), concluded(2)], deps)
    expect(log).toEqual(['ledger 2 predicted', 'drop 1', 'ack 2'])
  })

  it('hands the digests of what was stored on to the ledger', async () => {
    const { deps } = observe(async () => 'predicted', isWatched)
    const entries: LedgerEntry[] = []
    const stored: StoredOutcome[] = [
      { how: 'predicted', digest: 7 },
      { how: 'dead-lettered', digest: 0, letterDigest: 9 },
      { how: 'already-answered', digest: 5 },
      { how: 'predicted' },
    ]
    await settle([concluded(1), concluded(2), concluded(3), concluded(4)], {
      ...deps,
      isWatched: () => true,
      store: async ({ delivery }) => stored[delivery.info.streamSequence - 1] as StoredOutcome,
      record: async (record) => void entries.push(...record.entries),
    })
    expect(entries).toEqual([
      { sequence: 1, outcome: 'predicted', digest: 7 },
      { sequence: 2, outcome: 'dead-lettered', token: 'token-2', digest: 0, letterDigest: 9 },
      { sequence: 3, outcome: 'already-answered', token: 'token-3', digest: 5 },
      { sequence: 4, outcome: 'predicted' },
    ])
  })

  it('lets one outcome that is not taken hold back no other', async () => {
    let take: (stored: Stored) => void = () => undefined
    const { log, deps } = observe(
      (sequence) =>
        sequence === 1
          ? new Promise((resolve) => {
              take = resolve
            })
          : Promise.resolve('predicted'),
      isWatched,
    )
    const settled = settle([concluded(1), concluded(2)], deps)
    await expect.poll(() => log).toEqual(['ledger 2 predicted', 'ack 2'])
    take('dead-lettered')
    await settled
    expect(log.slice(2)).toEqual(['ledger 1 dead-lettered', 'ack 1'])
  })

  it('acknowledges nothing that could not be stored before it was stopped', async () => {
    const { log, deps } = observe(() => Promise.reject(new DOMException('stopped', 'AbortError')), isWatched)
    await expect(settle([concluded(1)], deps)).rejects.toThrow('stopped')
    expect(log).toEqual([])
  })

  it('gives back an event whose outcome cannot be told, and settles the others', async () => {
    const { log, deps } = observe(
      (sequence) => (sequence === 1 ? Promise.reject(new Error('no subject')) : Promise.resolve('predicted')),
      isWatched,
    )
    await settle([concluded(1), concluded(2)], deps)
    expect(log).toEqual(['defect 1: Error: no subject', 'ledger 2 predicted', 'give back 1', 'ack 2'])
  })

  it('takes no more memory the longer an outcome is not taken', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let take: (stored: Stored) => void = () => undefined
    const stored = new Promise<Stored>((resolve) => {
      take = resolve
    })
    const { log, deps } = observe(() => stored, isWatched)
    const settled = settle([concluded(1)], deps)
    await vi.advanceTimersByTimeAsync(60_000)
    const before = heapBytes()
    await vi.advanceTimersByTimeAsync(2 * 3_600_000)
    expect(heapBytes() - before).toBeLessThan(5_000_000)
    take('predicted')
    await settled
    expect(log).toEqual(['ledger 1 predicted', 'ack 1'])
  })
})

/** What the heap holds once it has been cleaned up. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}
