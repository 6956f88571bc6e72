import { once } from 'node:events'
import { pino } from 'pino'
import { describe, expect, vi } from 'vitest'
import { createHostedReplays } from '../../services/control/hosting/hosted-replays.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { readTask } from '../../shared/operations/replay/task.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { staged } from '../kit/staged.ts'
import { openTcpProxy } from '../kit/tcp-proxy.ts'
import { PATIENT } from '../kit/wait.ts'
import { onAccountTrouble } from './account-trouble.ts'
import { looksFor, openControlStage } from './control-stage.ts'
import { GOOD, MODEL } from './replay-stage.ts'

const COUNT = 150

const test = staged(openStage)

async function openStage() {
  const stage = await openControlStage()
  const proxy = await openTcpProxy(stage.broker.port)
  await stage.startWorker()
  await stage.deadLetters(Array.from({ length: COUNT }, () => GOOD))
  return {
    ...stage,
    proxy,
    /** Of the broker behind the proxy. */
    url: `nats://127.0.0.1:${proxy.port}`,
    close: async () => {
      await proxy.close()
      await stage.close()
    },
  }
}

describe.concurrent('a broker that is away for longer than a replay is patient', () => {
  test('leaves a hosted replay that its control service takes up again and ends', async ({ stage }) => {
    const store = openStore(await stage.broker.connect({ url: stage.url }), { patienceMs: 0 })
    let hasLost = false
    onAccountTrouble(store, () => {
      hasLost = true
    })
    const replays = createHostedReplays(store, pino({ level: 'silent' }), 'here')
    const { task } = await replays.start({ filter: {}, options: { rate: 60, rampSeconds: 0 } }, 'ops')
    await stage.inTheMiddleOf(COUNT)
    stage.proxy.cut()
    await vi.waitFor(() => expect(hasLost).toBe(true), PATIENT)
    stage.proxy.heal()
    await vi.waitFor(async () => {
      await replays.adopt()
      const { value } = await readTask(store.keyValue, task?.id ?? '')
      expect(value).toMatchObject({ state: 'done', counts: { predicted: COUNT, failed: 0 } })
    }, PATIENT)
    expect(await stage.lastIn(STREAMS.features)).toBe(2 * COUNT)
    expect((await readOutcomes(stage.connection, { hasReplays: true })).predictions.size).toBe(COUNT)
    await vi.waitFor(async () => expect(await stage.keptOf('hosted')).toEqual([]), PATIENT)
    expect(await stage.keptOf('held')).toEqual([])
    store.close()
  })

  test('ends a replay of the command line, and its process with it', async ({ stage }) => {
    const child = stage.startHelper('replay-outage-process', stage.url)
    const ended = once(child, 'exit')
    await stage.inTheMiddleOf(COUNT)
    stage.proxy.cut()
    await once(child.stdout ?? child, 'data')
    stage.proxy.heal()
    expect(await ended).toEqual([1, null])
  })
})

describe.concurrent('a control service that was stopped while another took its replay over', () => {
  test('writes nothing to the ledger any more once it has found out', async ({ stage }) => {
    const none = { PELTON_AUDIT_EVERY_MS: '0' }
    const first = await stage.control(none)
    const second = await stage.control({ PELTON_CONTROL_NAME: 'second', ...none })
    const body = { filter: { model: MODEL }, rate: 60, rampSeconds: 0 }
    const { id } = (await first.call('POST', '/v1/replays', { body })).json.task
    await stage.inTheMiddleOf(COUNT)
    const task = async () => (await second.call('GET', `/v1/replays/${id}`)).json
    const pace = { eventsPerSecond: expect.any(Number), underWay: expect.any(Number) }
    await vi.waitFor(
      async () => expect(await task()).toMatchObject({ ...pace, etaMs: expect.any(Number) }),
      PATIENT,
    )
    first.kill('SIGSTOP')
    await vi.waitFor(async () => expect((await task()).state).toBe('done'), PATIENT)
    first.kill('SIGCONT')
    const said = (msg: string) => first.log.some((entry) => entry.msg === msg)
    await vi.waitFor(() => expect(said('a replay stopped')).toBe(true), PATIENT)
    const last = await stage.lastIn(STREAMS.ledger)
    await looksFor(second, 2_000)
    expect(await stage.lastIn(STREAMS.ledger)).toBe(last)
    expect((await task()).counts).toMatchObject({ predicted: COUNT, failed: 0 })
  })
})
