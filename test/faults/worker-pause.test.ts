import { afterAll, describe, expect, test } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { eventually } from '../kit/wait.ts'
import { closeBareModels } from './kit/bare-model.ts'
import { EVENTS, IS_FULL, openStage, type Stage } from './kit/stage.ts'

const ACK_WAIT_MS = 1_500
const ROUNDS = IS_FULL ? 6 : 1

afterAll(closeBareModels)

async function resultsStored({ connection }: Stage, count: number): Promise<void> {
  const stored = async (): Promise<number> =>
    (await streamInfo(connection, STREAMS.results))?.state.messages ?? 0
  await eventually(`${count} results`, async () => (await stored()) >= count, { everyMs: 10, seen: stored })
}

/** Deliveries that workers say they have dropped. */
function droppedIn(lines: readonly Readonly<Record<string, unknown>>[]): number {
  const told = lines.filter(({ msg }) => String(msg).startsWith('deliveries are dropped'))
  return told.reduce((sum, { count }) => sum + Number(count), 0)
}

describe('a worker that is stopped and wakes up late', () => {
  test('drops what it held: its results are not even tried', async () => {
    const stage = await openStage('worker: SIGSTOP beyond ack_wait', { ackWaitMs: ACK_WAIT_MS })
    const { feed, fleet } = stage
    for (let round = 0; round < ROUNDS; round++) {
      const before = feed.sent.size
      feed.send(Math.ceil(EVENTS / ROUNDS))
      await resultsStored(stage, before + 0.1 * (feed.sent.size - before))
      const [, ...stopped] = fleet.workers
      for (const worker of stopped) worker.kill('SIGSTOP')
      // The last one has all the work: what the others held is handed out again once they are silent too long.
      await feed.reached(feed.sent.size / feed.size)
      await resultsStored(stage, feed.sent.size)
      for (const worker of stopped) worker.kill('SIGCONT')
      stage.faultEnded()
      // They have let go of what they hold, too late to settle it, when they have drained.
      await Promise.all(stopped.map((worker) => fleet.end('SIGTERM', worker)))
      await fleet.whole()
    }
    const { redeliveries } = await stage.conclude({
      note: `${ROUNDS} × ${fleet.workers.length - 1} workers, until the others had answered`,
    })
    expect(redeliveries).toBeGreaterThan(0)
    expect(droppedIn(fleet.logLines()), 'deliveries that were dropped').toBeGreaterThan(0)
    expect(new Set(fleet.ends)).toEqual(new Set([0]))
  })
})
