import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import type { Frame } from '../../../shared/sdk/jetstream/frame.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import type { PullEnd } from '../../../shared/sdk/jetstream/pull-lane.ts'
import { startTestBroker } from '../../../test/kit/broker.ts'
import { Intake, nextAsk, nextLeastBytes } from './intake.ts'
import { Room } from './room.ts'

const end = fc.constantFrom<PullEnd>(
  ...(['full', 'drained', 'too-large', 'lost', 'unavailable', 'cancelled'] as const),
)

describe('nextLeastBytes', () => {
  const bounds = { least: 1_000, most: 9_000 }

  it('grows while the message at the head does not fit, up to what there can ever be', () => {
    let bytes = 1_000
    const asked = Array.from({ length: 5 }, () => (bytes = nextLeastBytes(bytes, 0, 'too-large', bounds)))
    expect(asked).toEqual([2_000, 4_000, 8_000, 9_000, 9_000])
  })

  it('falls back as soon as a message came, however the pull ended', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 9_000 }),
        fc.integer({ min: 1 }),
        end,
        (now, received, how) => {
          expect(nextLeastBytes(now, received, how, bounds)).toBe(1_000)
        },
      ),
    )
  })

  it('stays where nothing came for another reason', () => {
    expect(nextLeastBytes(4_000, 0, 'drained', bounds)).toBe(4_000)
    expect(nextLeastBytes(4_000, 0, 'lost', bounds)).toBe(4_000)
  })
})

describe('nextAsk', () => {
  it('asks for one again when nothing came, however the pull ended', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), end, (ask, how) => {
        expect(nextAsk(ask, 0, how, 1_000)).toBe(1)
      }),
    )
  })

  it('reaches the most there is room for while pulls come back full, and no more', () => {
    let ask = 1
    const asked = Array.from({ length: 6 }, () => (ask = nextAsk(ask, ask, 'full', 100)))
    expect(asked).toEqual([4, 16, 64, 100, 100, 100])
  })

  it('falls back to what really comes', () => {
    expect(nextAsk(64, 5, 'drained', 100)).toBe(10)
    expect(nextAsk(64, 60, 'drained', 100)).toBe(64)
    expect(nextAsk(64, 1, 'too-large', 100)).toBe(2)
  })

  it('always asks for at least one and never for more than the most', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.nat(200),
        end,
        fc.integer({ min: 1, max: 200 }),
        (a, b, how, most) => {
          const ask = Math.min(a, most)
          const next = nextAsk(ask, Math.min(b, ask), how, most)
          expect(next).toBeGreaterThanOrEqual(1)
          expect(next).toBeLessThanOrEqual(most)
        },
      ),
    )
  })
})

describe('Intake', () => {
  it('hands over together what came in one turn of the loop: each message once, in order, its room taken', async () => {
    const broker = await startTestBroker()
    onTestFinished(() => broker.stop())
    await broker.provision()
    const connection = await broker.connect()
    const window = new PublishWindow(connection)
    const subject = subjects.feature({ pool: 'default', model: 'm', lane: 'normal' })
    const names = Array.from({ length: 300 }, (_each, index) => String(index))
    const sent = names.map((name) => window.publish({ subject, headers: [], body: Buffer.from(name) }))
    expect(new Set((await Promise.all(sent)).map(({ kind }) => kind))).toEqual(new Set(['stored']))

    const groups: (readonly Frame[])[] = []
    const rows: number[] = []
    const room = new Room({ rows: 2_000, bytes: 128 * 1024 ** 2 })
    const intake = new Intake(connection, room, {
      pool: 'default',
      maxMessageBytes: 1024 ** 2,
      lingerMs: 20,
      onMessages: (messages) => {
        groups.push(messages)
        rows.push(room.rows)
      },
      onTrouble: (consumer, end) => expect(`${consumer}: ${end}`).toBe('never'),
    })
    const running = intake.run()
    await expect.poll(() => groups.flat().length, { timeout: 30_000 }).toBe(names.length)
    await intake.stop()
    await running
    window.close()
    expect(groups.flat().map((message) => Buffer.from(message.data).toString())).toEqual(names)
    expect(groups.length).toBeLessThan(names.length / 2)
    let held = 0
    for (const [index, group] of groups.entries()) {
      held += group.length
      expect(rows[index]).toBeGreaterThanOrEqual(held)
    }
    expect(room.rows).toBe(names.length)
  })
})
