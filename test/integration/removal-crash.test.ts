import type { ChildProcess } from 'node:child_process'
import { describe, expect, vi } from 'vitest'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { readStream } from '../kit/outcomes.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { openControlStage } from './control-stage.ts'

const MODEL = 'flight-delay'
const COUNT = 30

const exited = (child: ChildProcess): Promise<unknown> =>
  new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal ?? code)))

const test = staged(openStage)

async function openStage() {
  const stage = await openControlStage({})
  const { connection, window } = stage

  /** Dead letters as a worker stores them. */
  async function storeLetters(): Promise<void> {
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    for (let index = 1; index <= COUNT; index++) {
      const token = eventToken(MODEL, 'test', `e${index}`)
      const reply = await window.publish({
        subject: subjects.deadLetter(MODEL, token),
        headers: [
          [HEADERS.id, `e${index}`],
          [HEADERS.source, 'test'],
          [HEADERS.token, token],
          [HEADERS.origin, `${STREAMS.features} ${epoch} ${index}`],
          [HEADERS.deadLetterReason, 'shed'],
          [HEADERS.failedAt, new Date().toISOString()],
          [HEADERS.originalSubject, subjects.feature({ pool: 'default', model: MODEL, lane: 'normal' })],
        ],
        body: Buffer.from('{}'),
      })
      expect(reply.kind).toBe('stored')
    }
  }

  async function keysOf(prefix: string): Promise<string[]> {
    const records = await readStream(connection, 'KV_pelton-replays')
    return records.map(({ subject }) => subject).filter((subject) => subject.includes(`.${prefix}.`))
  }

  /** What control says of the removal it ended. */
  async function endedByControl(): Promise<{ released: number; removed: number }> {
    const started = await stage.control({ PELTON_CONTROL_NAME: 'the-watch' })
    return vi.waitFor(async () => {
      const { acts } = (await started.call('GET', '/v1/watch')).json
      expect(acts).toEqual([expect.objectContaining({ what: 'removal-ended', by: 'the-watch' })])
      return acts[0]
    }, PATIENT)
  }

  async function history(): Promise<Record<string, unknown>> {
    const { out } = await runCli(['dead-letters', 'history', '--json'], stage)
    return JSON.parse(out)
  }

  const discard = (step: string, nth: number, signal: NodeJS.Signals): ChildProcess =>
    stage.startHelper('removal-crash-process', MODEL, step, String(nth), signal)

  return { ...stage, storeLetters, keysOf, endedByControl, history, discard }
}

const STEPS: readonly [name: string, step: string, nth: number, isBegun: boolean][] = [
  ['taking some', '.held.', 5, false],
  ['taking all', '.held.', COUNT, false],
  ['naming them in the ledger', 'ledger.', 1, true],
  ['removing some', 'STREAM.MSG.DELETE.', 3, true],
]

describe.concurrent('a discard', () => {
  test.for(STEPS)(
    'killed after %s holds nothing any more once a control service has looked',
    async ([_name, step, nth, isBegun], { stage }) => {
      const { countIn, storeLetters, keysOf, endedByControl, history, discard } = stage
      await storeLetters()
      expect(await exited(discard(step, nth, 'SIGKILL'))).toBe('SIGKILL')
      expect((await keysOf('held')).length).toBeGreaterThan(0)
      const held = (await keysOf('held')).length
      const { released, removed } = await endedByControl()
      expect(released + removed).toBe(held)
      expect([await keysOf('held'), await keysOf('acting')]).toEqual([[], []])
      const left = isBegun ? 0 : COUNT
      expect(await countIn(STREAMS.deadLetters)).toBe(left)
      const { isComplete, note } = await history()
      expect([isComplete, note]).toEqual([false, expect.stringMatching(/its process ended; by the-watch: /)])
      const args = ['replay', 'plan', '--reason', 'shed', '--json']
      const plan = await runCli(args, stage)
      expect(plan.json()[0]).toMatchObject({ sent: left })
    },
  )

  test('that stands still and wakes after control ended it does nothing more', async ({ stage }) => {
    const { countIn, storeLetters, keysOf, endedByControl, discard } = stage
    await storeLetters()
    const child = discard('.held.', COUNT, 'SIGSTOP')
    let said = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    await vi.waitFor(async () => expect(await keysOf('held')).toHaveLength(COUNT), PATIENT)
    expect(await endedByControl()).toMatchObject({ released: COUNT, removed: 0 })
    const ended = exited(child)
    child.kill('SIGCONT')
    expect(await ended).toBe(1)
    expect(said).toContain('took this process for dead')
    expect(await countIn(STREAMS.deadLetters)).toBe(COUNT)
    expect([await keysOf('held'), await keysOf('acting')]).toEqual([[], []])
  })
})
