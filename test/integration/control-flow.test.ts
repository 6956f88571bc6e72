import { describe, expect } from 'vitest'
import type { Flow } from '../../shared/sdk/contract/flow.ts'
import { type Lane, subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { hearFlow } from '../kit/flow.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { metricOf, openControlStage } from './control-stage.ts'
import { BAD, MODEL } from './replay-stage.ts'

const test = staged(openStage)

/** Small streams: FEATURES takes 20 events, 10 of a model and lane, DEADLETTERS 5. */
async function openStage() {
  const stage = await openControlStage({
    topology: { featuresMaxMessages: 20, deadLettersMaxMessages: 5 },
  })
  const heard = await hearFlow(stage.connection)
  let sent = 0
  const fill = async (model: string, lane: Lane, count: number): Promise<void> => {
    const window = stage.window
    for (let each = 0; each < count; each++) {
      const subject = subjects.feature({ pool: 'default', model, lane })
      const headers = [['Nats-Msg-Id', `fill-${sent++}`]] as const
      expect(await window.publish({ subject, headers, body: Buffer.from('{}') })).toMatchObject({
        kind: 'stored',
      })
    }
  }
  const said = (model: string): readonly Flow[] => heard(model).filter(({ by }) => by === 'control')
  const last = (model: string): Flow | undefined => said(model).at(-1)
  /** Limits and lanes of the gates that the last word on a model has. */
  const gates = (model: string): readonly string[] | undefined =>
    last(model)?.gates.map(({ limit, lanes }) => `${limit} ${lanes.join(' ')}`)
  /** Waits until the last word on a model has these gates. */
  const hasGates = (model: string, wanted: readonly string[]): Promise<unknown> =>
    eventually(`the gates of ${model}`, () => JSON.stringify(gates(model)) === JSON.stringify(wanted), {
      seen: () => last(model),
    })
  return { ...stage, fill, said, last, hasGates }
}

const ALL = 'high normal low'

describe.concurrent('what control says of the flow', () => {
  test('without any worker: how many events wait, and which gates FEATURES shuts, for every model', async ({
    stage,
  }) => {
    const { control, fill, last, hasGates } = stage
    const service = await control()
    await fill('one', 'normal', 8)
    await fill('one', 'high', 3)
    await eventually('the count', () => last('one')?.waiting.normal === 8)
    expect(last('one')).toMatchObject({
      ...{ by: 'control', drainRows: 0, everyMs: 2_000, mode: 'enforce', gates: [] },
      waiting: { high: 3, normal: 8, low: 0 },
      held: { high: 0, normal: 0, low: 0 },
    })
    await fill('two', 'low', 1)
    await hasGates('one', ['FEATURES.max_msgs low'])
    await hasGates('two', ['FEATURES.max_msgs low'])
    expect(last('two')?.gates[0]).toMatchObject({ value: 12, measured: 12, lanes: ['low'] })
    await fill('two', 'high', 5)
    await hasGates('one', ['FEATURES.max_msgs normal', 'FEATURES.max_msgs low'])
    const status = await runCli(['status'], { env: stage.env })
    expect(status.out).toContain('doors refuse lane low: FEATURES.max_msgs')
    const labels = { limit: 'FEATURES.max_msgs', lane: 'low' }
    expect(await metricOf(service, 'pelton_flow_gate_value_ratio', labels)).toBe(17 / 20)
    expect(await metricOf(service, 'pelton_flow_gate_threshold_ratio', labels)).toBeCloseTo(0.57)

    await requestApi(stage.connection, `STREAM.PURGE.${STREAMS.features}`)
    await hasGates('one', [])
    expect(last('one')?.waiting).toEqual({ high: 0, normal: 0, low: 0 })
    expect((await runCli(['status'], { env: stage.env })).out).not.toContain('doors refuse')
  })

  test('a lane of one model by its own bound, and no other model', async ({ stage }) => {
    const { control, fill, hasGates } = stage
    await control()
    await fill('one', 'low', 6)
    await fill('two', 'low', 1)
    await hasGates('one', ['FEATURES.max_msgs_per_subject low'])
    await hasGates('two', [])
  })

  test('all lanes while DEADLETTERS is nearly full, also of a model of which nothing waits', async ({
    stage,
  }) => {
    const { control, hasGates, deadLetters } = stage
    await stage.startWorker()
    await deadLetters([BAD, BAD, BAD, BAD])
    await control()
    await hasGates(MODEL, [`DEADLETTERS.max_msgs ${ALL}`])
    const discarded = await runCli(
      ['dead-letters', 'discard', '--model', MODEL, '--yes', '--because', 'room'],
      {
        env: stage.env,
      },
    )
    expect(discarded.code, discarded.err).toBe(0)
    await hasGates(MODEL, [])
  })

  test('the mode that an operator set, and `models list` says who', async ({ stage }) => {
    const { control, fill, last, env } = stage
    await stage.startWorker()
    await stage.endWorkers('SIGTERM')
    await control()
    await fill(MODEL, 'normal', 1)
    await eventually('a word', () => last(MODEL)?.mode === 'enforce')
    const set = (mode: string) => runCli(['models', 'admission', MODEL, mode, '--by', 'ann'], { env })
    const first = await set('observe')
    expect([first.code, first.err]).toEqual([
      0,
      expect.stringContaining(
        'let in what they would refuse, and count it (observe; before: as its manifest',
      ),
    ])
    await eventually('the mode', () => last(MODEL)?.mode === 'observe')
    expect((await set('off')).err).toMatch(/before: observe, set by ann at 20/)
    await eventually('the mode', () => last(MODEL)?.mode === 'off')
    const [listed] = (await runCli(['models', 'list', '--json'], { env })).json()
    expect(listed.admission).toMatchObject({ mode: 'off', by: 'ann' })
    const unknown = await runCli(['models', 'admission', 'nobody', 'off'], { env })
    expect([unknown.code, unknown.err]).toEqual([2, expect.stringContaining('the pool does not know it')])
    expect((await runCli(['models', 'admission', MODEL, 'on'], { env })).code).toBe(2)
  })

  test('of several control services by the one that watches, and by the next when that is gone', async ({
    stage,
  }) => {
    const { control, fill, said } = stage
    const first = await control({ PELTON_CONTROL_NAME: 'first' })
    await fill('one', 'normal', 1)
    await eventually('the first word', () => said('one').length > 0)
    await control({ PELTON_CONTROL_NAME: 'second' })
    await eventually('more words', () => said('one').length > 3)
    expect(new Set(said('one').map(({ name }) => name))).toEqual(new Set(['first']))
    first.kill('SIGKILL')
    await eventually('the second to speak', () => said('one').at(-1)?.name === 'second')
  })
})
