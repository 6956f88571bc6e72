import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { type AskingRequest, Door } from '../../services/gateway/core/door.ts'
import type { RefusedRequest } from '../../services/gateway/core/figures.ts'
import type { Caller } from '../../services/gateway/core/request.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'

let broker: TestBroker

beforeAll(async () => {
  broker = await startTestBroker()
})
afterAll(() => broker.stop())

const CALLER: Caller = {
  ...{ keyId: 'k', source: 'key/k', pool: 'default', quotaClass: 'free' },
  highestLane: 'high',
  mayUse: () => true,
}
const ASKING: AskingRequest = {
  caller: CALLER,
  ...{ model: 'm', source: 'key/k', deadlineMs: 1_000 },
  lane: 'normal',
}

/** A door of which the stream takes nothing, at a moment that stays: it refuses where `random` is small. */
async function throttledDoor(random: () => number) {
  vi.spyOn(performance, 'now').mockReturnValue(1_000_000)
  vi.spyOn(Math, 'random').mockImplementation(random)
  onTestFinished(() => void vi.restoreAllMocks())
  const told: RefusedRequest[] = []
  const door = new Door(await broker.connect(), {
    quotas: new Map([['free', { perSecond: 0.001, burst: 3 }]]),
    onRefused: (refused) => told.push(refused),
    onProblem: (text) => expect.fail(text),
  })
  onTestFinished(() => door.close())
  door.admit(ASKING)
  for (let each = 0; each < 100; each++) door.told(ASKING, false)
  return { door, told }
}

test('a request that is refused early is looked at once, and one that is not is let in by nobody', async () => {
  let [next = 0, ...later]: number[] = []
  const { door, told } = await throttledDoor(() => {
    const thrown = next
    ;[next = 0, ...later] = later
    return thrown
  })
  const refuse = (...thrown: number[]): string | undefined => {
    ;[next = 0, ...later] = thrown
    return door.refuse(ASKING)?.details.code
  }
  expect([refuse(0, 0.99999), refuse(0.99999, 0), refuse(0, 0.99999)]).toEqual([
    'overloaded',
    undefined,
    'overloaded',
  ])
  expect(told.map(({ limit, isEnforced }) => [limit, isEnforced])).toEqual([
    ['throttle', true],
    ['throttle', true],
  ])
})

test('of a quota nothing is taken by who is only looked at', async () => {
  const { door, told } = await throttledDoor(() => 0.99999)
  for (let each = 0; each < 10; each++) expect(door.refuse(ASKING)).toBeUndefined()
  door.admit(ASKING)
  door.admit(ASKING)
  expect(door.refuse(ASKING)).toMatchObject({ status: 429 })
  expect(told).toMatchObject([{ limit: 'quota', isEnforced: true }])
})
