import { expect, it } from 'vitest'
import { TURN_BYTES, Turns } from '../../shared/runtime/turns.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { floats } from '../../test/kit/deliveries.ts'
import { eventually } from '../../test/kit/wait.ts'
import { openBacklog, openWorkerHere } from '../../test/kit/worker-here.ts'

const MODEL = 'identity-fp32'

/** Turns that note what was done in each of them: every piece, in bytes. */
class NotedTurns extends Turns {
  readonly pieces = new Map<number, number[]>()
  #turn = 0

  constructor() {
    super((begin) => {
      setImmediate(() => {
        this.#turn++
        begin()
      })
    })
  }

  override take(bytes: number): boolean {
    const isTaken = super.take(bytes)
    if (isTaken) this.#note(bytes)
    return isTaken
  }

  override async spend(bytes: number): Promise<void> {
    if (this.take(bytes)) return
    await super.spend(bytes)
    this.#note(bytes)
  }

  #note(bytes: number): void {
    this.pieces.set(this.#turn, [...(this.pieces.get(this.#turn) ?? []), bytes])
  }
}

it('a worker does in no turn of its loop more than one event of 64 KB is, whatever comes', async () => {
  const rows = [...Array(300).fill(1), ...Array(30).fill(2_000), ...Array(8).fill(4_000)] as number[]
  const bodies = rows.map((count) => {
    const text = JSON.stringify({ inputs: [floats('x', Array(count).fill([0.25, 1.5]))] })
    return Buffer.from(count === 4_000 ? text.padEnd(300_000) : text)
  })
  const models = bodies.map((_, index) => (index % 10 === 9 ? 'nobody' : MODEL))
  const subjectOf = (model: string): string => subjects.feature({ pool: 'default', model, lane: 'normal' })
  const { broker, connection } = await openBacklog(
    bodies.map((body, index) => ({ subject: subjectOf(models[index] as string), body })),
  )
  const turns = new NotedTurns()
  const { worker, close } = await openWorkerHere(broker, MODEL, {
    capacityOf: () => ({ rows: 100_000, bytes: 64 * 1024 ** 2 }),
    own: () => ({ turns }),
  })
  const running = worker.run()
  const countIn = async (stream: string) => (await streamInfo(connection, stream))?.state.messages
  await eventually(
    'an outcome of every event',
    async () => (await countIn(STREAMS.results)) === bodies.length,
    {
      seen: () => worker.counts,
    },
  )
  await worker.stop()
  await running
  await close()

  const unknown = models.filter((model) => model === 'nobody').length
  expect(worker.counts).toMatchObject({ predicted: bodies.length - unknown, 'dead-lettered': unknown })
  const all = [...turns.pieces.values()]
  for (const pieces of all) {
    const sum = pieces.reduce((total, bytes) => total + bytes, 0)
    if (pieces.length > 1) expect(sum).toBeLessThanOrEqual(TURN_BYTES)
  }
  // Nothing went past the count: whatever is small is counted when it is read, and each answer when it is sent.
  const small = bodies
    .filter(({ length }) => length < TURN_BYTES)
    .reduce((sum, { length }) => sum + length, 0)
  expect(all.flat().reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(2 * small)
  // A single piece is larger only where it is sent: a large answer, or a copy of a large event.
  expect(all.flat().filter((bytes) => bytes > TURN_BYTES).length).toBeLessThanOrEqual(8)
})
