import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type ModelRepository, openRepository } from '../../../shared/models/repository.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../../shared/sdk/contract/topology.ts'
import { lastOfSubject, streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { startTestBroker, type TestBroker } from '../../../test/kit/broker.ts'
import { type DeliveredEvent, deliveryOf, floats } from '../../../test/kit/deliveries.ts'
import { modelsFolder } from '../../../test/kit/models-folder.ts'
import { returnsOf } from '../intake/delivery.ts'
import { PatientStorage } from '../settle/storage.ts'
import { prepare } from './prepare.ts'
import { type Batch, isConcluded, type Passed, type Prepared } from './prepared.ts'
import { isSuspect, StartMarks } from './start-marks.ts'

const MODEL = 'identity-fp32'
const MOST_ATTEMPTS = 3
let broker: TestBroker
let connection: NatsConnection
let window: PublishWindow
let folder: Awaited<ReturnType<typeof modelsFolder>>
let models: ModelRepository
let marks: StartMarks
let ids = 0

beforeAll(async () => {
  folder = await modelsFolder([MODEL, 'sum-rows'])
  models = await openRepository({ folder: folder.path })
  broker = await startTestBroker()
  await broker.provision()
  connection = await broker.connect()
  window = new PublishWindow(connection)
  const options = { signal: new AbortController().signal, onChange: () => undefined }
  marks = new StartMarks(new PatientStorage({ connection, window }, options), window)
})

afterAll(async () => {
  window.close()
  await broker.stop()
  await folder.remove()
})

beforeEach(() => {
  ids += 1_000
})

function eventOf(given: Partial<DeliveredEvent> = {}): Prepared {
  const event = { model: MODEL, inputs: [floats('x', [[1, 2]])], deliveryCount: 2, ...given }
  const [passed] = prepare([deliveryOf(event)], models, 0)
  if (passed === undefined || isConcluded(passed)) throw new Error(JSON.stringify(passed))
  return passed
}

const suspects = (count: number): Batch =>
  Array.from({ length: count }, (_each, index) => eventOf({ id: `${ids + index}` }))

/** The mark that lies in the bucket, as JSON; undefined where there is none. */
async function markOf({ delivery }: Prepared): Promise<unknown> {
  const copy = await lastOfSubject(connection, STORES.starts, subjects.startMark(delivery.event.token))
  if (copy === undefined || copy.body.length === 0) return undefined
  return JSON.parse(Buffer.from(copy.body).toString())
}

/** Those of a vetted batch that may run. */
function runnable(passed: Passed): Batch {
  return passed.filter((event): event is Prepared => !isConcluded(event))
}

async function vetted(batch: Batch): Promise<Batch> {
  const passed = runnable(await marks.vet(batch))
  expect(passed).toHaveLength(batch.length)
  return passed
}

describe('isSuspect', () => {
  it.each([
    [1, 1, false],
    [2, 1, true],
    [1, 2, true],
    [5, 3, true],
  ])('of delivery %i and attempt %i: %s', (deliveryCount, attempt, isOne) => {
    const headers = { 'Pelton-Attempt': String(attempt) }
    expect(isSuspect(eventOf({ deliveryCount, headers }).delivery)).toBe(isOne)
  })
})

describe('start marks', () => {
  it('let suspects without a mark run together, eight rows at most, apart from all others', async () => {
    const [one, two, other] = await vetted([...suspects(2), eventOf({ model: 'sum-rows' })])
    expect(one?.kind).toBe(two?.kind)
    expect(one?.kind).not.toBe(eventOf().kind)
    expect(one?.maxBatchRows).toBe(8)
    expect(one?.runsAlone).toBeUndefined()
    expect(other?.maxBatchRows).toBe(1)
  })

  it('stand in the bucket before a batch of suspects runs, and are gone after it ended', async () => {
    const batch = await vetted(suspects(3))
    await marks.begin(batch)
    expect(await Promise.all(batch.map(markOf))).toEqual(Array(3).fill({ shared: 1, alone: 0 }))
    marks.clear(batch)
    await expect.poll(() => Promise.all(batch.map(markOf))).toEqual([undefined, undefined, undefined])
  })

  it('cost events without a past nothing', async () => {
    const before = (await streamInfo(connection, STORES.starts))?.state.last_seq
    const batch = [eventOf({ deliveryCount: 1 }), eventOf({ deliveryCount: 1 })]
    await marks.begin(batch)
    marks.clear(batch)
    await connection.flush()
    expect((await streamInfo(connection, STORES.starts))?.state.last_seq).toBe(before)
  })

  it('have an event run alone that a run with others has not survived, whoever was among them', async () => {
    const batch = suspects(3)
    await marks.begin(await vetted(batch))
    // Its worker is gone. Of three that are delivered again one was not running.
    const again = await vetted([batch[0] as Prepared, eventOf({ id: `${ids + 500}` }), batch[2] as Prepared])
    expect(again.map(({ runsAlone = false }) => runsAlone)).toEqual([true, false, true])
    expect(again.map(({ mark }) => mark)).toEqual([
      { shared: 1, alone: 0 },
      { shared: 0, alone: 0 },
      { shared: 1, alone: 0 },
    ])
  })

  it('condemn an event after as many runs alone as its model has attempts, and nothing beside it', async () => {
    const [poison, innocent] = suspects(2) as [Prepared, Prepared]
    await marks.begin(await vetted([poison])) // together with others, for all it knows
    for (let run = 1; run <= MOST_ATTEMPTS; run++) {
      const [alone] = await vetted([poison])
      expect(alone?.runsAlone).toBe(true)
      await marks.begin([alone as Prepared])
      expect(await markOf(poison)).toEqual({ shared: 1, alone: run })
    }
    const [crashed, other] = await marks.vet([poison, innocent])
    expect(crashed).toEqual({
      delivery: poison.delivery,
      outcome: {
        kind: 'dead-lettered',
        failure: {
          reason: 'worker-crashed',
          stage: 'infer',
          description: `its worker ended ${MOST_ATTEMPTS} times while it ran alone; it is not run again`,
        },
        modelVersion: '1',
      },
    })
    expect(other).toMatchObject({ delivery: innocent.delivery, mark: { shared: 0, alone: 0 } })
  })

  it('accuse whoever runs when a run hangs, suspects or not', async () => {
    const batch = [eventOf({ deliveryCount: 1 }), eventOf({ deliveryCount: 1 })]
    await marks.accuse(batch)
    expect(await Promise.all(batch.map(markOf))).toEqual(Array(2).fill({ shared: 1, alone: 0 }))
  })

  it('stay when what was accused is handed on, although its mark is not stored yet', async () => {
    const event = eventOf({ deliveryCount: 1 })
    const accusing = marks.accuse([event])
    const handOn = await marks.look(event.delivery)
    await Promise.all([accusing, handOn()])
    expect(await markOf(event)).toMatchObject({ shared: 1, alone: 0, handedOn: { times: 1 } })
  })

  it('an event that was handed on is no suspect when it is handed out again, however often', async () => {
    const id = `${ids}`
    for (const deliveryCount of [1, 2, 3, 4]) {
      const { delivery } = eventOf({ id, sequence: ids, deliveryCount })
      const handOn = await marks.look(delivery)
      expect(delivery.handedOn).toBe(deliveryCount - 1)
      await handOn()
    }
    const again = eventOf({ id, sequence: ids, deliveryCount: 5 })
    const [vet] = await vetted([again])
    expect([vet?.kind, vet?.mark, returnsOf(again.delivery)]).toEqual([again.kind, undefined, 0])
  })

  it('a delivery that nobody explains makes it one, and a run that ended its worker stays known', async () => {
    const id = `${ids}`
    await (await marks.look(eventOf({ id, sequence: ids, deliveryCount: 1 }).delivery))()
    const [unexplained] = await vetted([eventOf({ id, sequence: ids, deliveryCount: 3 })])
    expect(unexplained?.mark).toMatchObject({ shared: 0, alone: 0 })
    await marks.begin([unexplained!])
    await (await marks.look(eventOf({ id, sequence: ids, deliveryCount: 4 }).delivery))()
    const [next] = await vetted([eventOf({ id, sequence: ids, deliveryCount: 5 })])
    expect([next?.mark?.shared, next?.runsAlone]).toEqual([1, true])
  })

  it('what one stored message was handed on explains nothing of another', async () => {
    const id = `${ids}`
    await (await marks.look(eventOf({ id, sequence: ids, deliveryCount: 1 }).delivery))()
    const [other] = await vetted([eventOf({ id, sequence: ids + 1, deliveryCount: 2 })])
    expect(other?.mark).toBeDefined()
  })
})
