import { once } from 'node:events'
import { describe, expect } from 'vitest'
import { createHolds } from '../../shared/operations/records/holds.ts'
import { openKeyValue } from '../../shared/operations/records/key-value.ts'
import { planReplay } from '../../shared/operations/replay/plan.ts'
import { createTask } from '../../shared/operations/replay/taking.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { staged } from '../kit/staged.ts'
import { runCli } from './cli-process.ts'
import { GOOD, openReplayStage } from './replay-stage.ts'

const test = staged(openReplayStage)

/** The steps of one replay, in order: the broker has done it, the process does not live to see the next. */
const STEPS = [
  ['taking a dead letter', '.held.', 7],
  ['storing its event in FEATURES', 'features.', 7],
  ['naming it in the ledger', 'ledger.', 1],
  ['removing the dead letter', 'STREAM.MSG.DELETE', 3],
  ['counting it in the task', '.task.', 1],
  ['releasing it', 'STREAM.PURGE', 3],
] as const

describe.concurrent('kill -9 of the process that runs a replay', () => {
  test.for(STEPS)(
    'after %s: resumed, it sends nothing twice and counts each once',
    async ([_name, step, nth], { stage }) => {
      const {
        connection,
        env,
        window,
        startWorker,
        startHelper,
        lastIn,
        deadLetters,
        replayedInLedger,
        keptOf,
      } = stage
      await startWorker()
      await deadLetters(Array.from({ length: 30 }, () => GOOD))
      const keyValue = openKeyValue(connection, window)
      const options = { lane: 'low', rate: 100, rampSeconds: 0, inFlight: 16 } as const
      const rest = { maxFailureShare: 0.5, keepDeadline: false }
      const plan = await planReplay(connection, {}, rest)
      const control = { keyValue, by: 'ops', now: () => new Date() }
      const { value } = await createTask(control, {}, { ...options, ...rest }, plan)
      const child = startHelper('replay-crash-process', value.id, step, String(nth))
      const [, signal] = await once(child, 'exit')
      expect(signal).toBe('SIGKILL')
      const unfinished = await runCli(['replay', 'status', value.id, '--json'], { env })
      expect(unfinished.json()[0].state).toBe('running')

      const resumed = await runCli(['replay', 'resume', value.id, '--json'], { env })
      expect(resumed.json()[0], resumed.err).toMatchObject({
        state: 'done',
        counts: { predicted: 30, failed: 0, superseded: 0, skipped: {} },
      })
      expect(await lastIn(STREAMS.features)).toBe(60)
      const outcomes = await readOutcomes(connection, { hasReplays: true })
      expect(outcomes.predictions.size).toBe(30)
      expect(outcomes.deadLetters.size).toBe(0)
      expect(new Set(await replayedInLedger()).size).toBe(30)
      expect(await keptOf('held')).toEqual([])
      expect(await createHolds(keyValue).of(value.id).next()).toMatchObject({ done: true })
    },
  )
})
