import type { NatsConnection } from '@nats-io/transport-node'
import { describe, expect, vi } from 'vitest'
import { figureTasks, isDurabilityMet } from '../../services/control/figures/figures.ts'
import { readSync } from '../../shared/operations/broker/durability.ts'
import { readMonitorUrls } from '../../shared/operations/broker/running-broker.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { DEFAULT_OPTIONS } from '../../shared/operations/replay/replays.ts'
import { createTask } from '../../shared/operations/replay/taking.ts'
import { keepTask, listTasks, type ReplayState, readTask } from '../../shared/operations/replay/task.ts'
import { ALERT_KINDS } from '../../shared/operations/watch-record/alert.ts'
import { METRICS, type Metric } from '../../shared/runtime/metrics.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { consumerInfo, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { startTestCluster } from '../kit/cluster.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readPrometheus, type Scrape } from '../kit/prometheus-text.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import type { ControlProcess } from './control-process.ts'
import { lookedAt, openControlStage } from './control-stage.ts'

/** Lines of a metric, without the name of the instrument's scope. */
async function series({ address }: ControlProcess, name: string): Promise<readonly string[]> {
  const text = await (await fetch(`${address}/metrics`)).text()
  return text.split('\n').filter((line) => line.startsWith(name))
}

async function scrape({ address }: ControlProcess): Promise<Scrape> {
  return readPrometheus(await (await fetch(`${address}/metrics`)).text())
}

const test = staged(openStage)

async function openStage() {
  const stage = await openControlStage({})
  const { connection } = stage

  /** Waits until it has looked. */
  async function control(env: NodeJS.ProcessEnv = {}): Promise<ControlProcess> {
    const started = await stage.control(env)
    await vi.waitFor(async () => expect(await lookedAt(started)).not.toBe(''), PATIENT)
    return started
  }

  async function addTask(state: ReplayState): Promise<void> {
    const store = openStore(connection)
    const mine = { keyValue: store.keyValue, by: 'ops', now: () => new Date() }
    const { value, revision } = await createTask(mine, {}, DEFAULT_OPTIONS, { sent: 1, upTo: 1 })
    expect(await keepTask(store.keyValue, { ...value, state }, revision)).toBeDefined()
    store.close()
  }

  /** A prediction and a dead letter, by a real worker. */
  async function answerTwo(): Promise<void> {
    const folder = await modelsFolder(['identity-fp32'])
    const worker = await stage.startWorker({}, { models: folder.path })
    const producer = await createProducer({ connection, source: 'test' })
    const inputs = [{ name: 'x', shape: [1, 2], datatype: 'FP32' as const, data: [1, 2] }]
    await producer.request({ model: 'identity-fp32', id: 'good', inputs })
    await producer.request({ model: 'identity-fp32', id: 'bad', inputs: [] })
    await producer.close()
    worker.kill('SIGTERM')
    expect(await worker.ended).toBe(0)
    await folder.remove()
  }

  return { ...stage, control, addTask, answerTwo }
}

describe.concurrent('metrics', () => {
  test('a control service shows every metric of its table, and none outside it', async ({ stage }) => {
    const { control, answerTwo } = stage
    await answerTwo()
    const process = await control()
    // Here nothing ends that lets it in: `security-expiry.test.ts` sees that one.
    const ours = Object.values<Metric>(METRICS).filter(
      (metric) => metric.sources.includes('control') && metric !== METRICS.credentialsLeft,
    )
    const names = new Set(ours.map(({ prometheus }) => prometheus))
    // The first audit comes a second after the first look.
    await vi.waitFor(
      async () => expect(new Set((await scrape(process)).metrics.keys())).toEqual(names),
      PATIENT,
    )
    const series = await scrape(process)
    for (const { prometheus, kind, description, labels } of ours) {
      const metric = series.metrics.get(prometheus)
      expect(metric).toMatchObject({ type: kind, help: description })
      const allowed = new Set([...labels.map((label) => label.replaceAll('.', '_'))])
      for (const { labels: found } of metric?.samples ?? [])
        expect(Object.keys(found).filter((label) => !allowed.has(label))).toEqual([])
    }
    expect(series.value('pelton_ready', {})).toBe(1)
    expect(series.value('pelton_audit_lost', {})).toBe(0)
    expect(series.value('pelton_dead_letters', { model: 'identity-fp32' })).toBe(1)
    expect(series.value('jetstream_stream_total_messages', { stream_name: STREAMS.results })).toBe(2)
  })
})

describe.concurrent('pelton_watch_alerts', () => {
  const CONSUMER = 'worker-default-normal'

  async function setMaxDeliver(connection: NatsConnection, count: number): Promise<void> {
    const config = (await consumerInfo(connection, STREAMS.features, CONSUMER))?.config
    const subject = `CONSUMER.CREATE.${STREAMS.features}.${CONSUMER}.${config?.filter_subject}`
    const changed = { ...config, max_deliver: count }
    await requestApi(connection, subject, {
      stream_name: STREAMS.features,
      config: changed,
      action: 'update',
    })
  }

  test('counts what the watch finds, by kind, and is zero once it is over', async ({ stage }) => {
    const { connection, control } = stage
    const process = await control()
    const read = async (): Promise<readonly (number | undefined)[]> => {
      const series = await scrape(process)
      return ALERT_KINDS.map((kind) => series.value('pelton_watch_alerts', { kind }))
    }
    expect(await read()).toEqual(ALERT_KINDS.map(() => 0))
    await setMaxDeliver(connection, 3)
    const one = ALERT_KINDS.map((kind) => (kind === 'changed-consumer' ? 1 : 0))
    await vi.waitFor(async () => expect(await read()).toEqual(one), PATIENT)
    await setMaxDeliver(connection, -1)
    await vi.waitFor(async () => expect(await read()).toEqual(ALERT_KINDS.map(() => 0)), PATIENT)
  })
})

describe.concurrent('pelton_replay_tasks', () => {
  test('is zero where there are none', async ({ stage }) => {
    const { control } = stage
    const lines = await series(await control(), 'pelton_replay_tasks{')
    expect(lines).toHaveLength(3)
    for (const state of ['running', 'stalled', 'paused'])
      expect(lines).toContainEqual(expect.stringMatching(new RegExp(`state="${state}".* 0$`)))
  })

  test('counts tasks that are not over, of the one that watches only', async ({ stage }) => {
    const { control, addTask } = stage
    for (const state of ['paused', 'paused', 'running', 'done', 'cancelled'] as const) await addTask(state)
    const first = await control()
    const lines = await series(first, 'pelton_replay_tasks{')
    expect(lines).toContainEqual(expect.stringMatching(/state="paused".* 2$/))
    const alive = lines.filter((line) => /state="(?:running|stalled)".* 1$/.test(line))
    expect(alive).toHaveLength(1) // by how long ago it was written
    expect(await series(await control(), 'pelton_replay_tasks{')).toEqual([])
  })
})

describe.concurrent('a task that says it runs', () => {
  test('counts as stalled once it was silent for longer than it takes to be taken over', async ({
    stage,
  }) => {
    const { connection, addTask } = stage
    await addTask('running')
    const store = openStore(connection)
    const counted = async () => [...(await figureTasks(store))]
    await vi.waitFor(
      async () =>
        expect(await counted()).toEqual([
          ['running', 0],
          ['stalled', 1],
          ['paused', 0],
        ]),
      PATIENT,
    )
    const [task] = await listTasks(store.keyValue)
    const present = await readTask(store.keyValue, task?.id ?? '')
    await keepTask(store.keyValue, present.value, present.revision)
    expect(await counted()).toContainEqual(['running', 1])
    store.close()
  })
})

describe.concurrent('pelton_durability_met', () => {
  test('is 0 for one copy where power is asked, without a look at the server', async ({ stage }) => {
    const { connection, control } = stage
    const process = await control({ PELTON_DURABILITY: 'power' })
    expect(await series(process, 'pelton_durability_met')).toEqual([expect.stringMatching(/ 0$/)])
    expect(await isDurabilityMet({ connection, monitorUrls: ['http://127.0.0.1:1'] }, 'power')).toBe(false)
  })

  test('is 1 where only the end of processes is to be survived', async ({ stage }) => {
    const { control } = stage
    expect(await series(await control(), 'pelton_durability_met')).toEqual([expect.stringMatching(/ 1$/)])
  })

  test('goes by the monitoring of the server of `pelton up`; of others by what is set', async ({ stage }) => {
    const { broker, connection, dataDir } = stage
    const monitorUrls = ['http://a:8222', 'http://b:8222']
    const env = { PELTON_DATA: broker.dataDir, PELTON_NATS_MONITOR_URL: monitorUrls.join() }
    expect(await readMonitorUrls(broker.url, env)).toEqual([broker.monitorUrl])
    expect(await readMonitorUrls('nats://127.0.0.1:1', env)).toEqual(monitorUrls)
    expect(await readMonitorUrls(broker.url, { ...env, PELTON_DATA: dataDir })).toEqual(monitorUrls)
    expect(await readMonitorUrls(broker.url, { PELTON_DATA: dataDir })).toBeUndefined()
    expect(await readSync({ connection, monitorUrls: [broker.monitorUrl] })).toMatchObject({
      syncMs: 120_000,
    })
    expect(await readSync({ connection })).toEqual({ syncMs: undefined })
  })

  test('is 1 for power once every server of a cluster says that it syncs always', async ({ stage }) => {
    const { broker, control } = stage
    const cluster = await startTestCluster()
    try {
      await cluster.provision()
      const env = {
        PELTON_NATS_URL: cluster.url,
        PELTON_DURABILITY: 'power',
        PELTON_NATS_MONITOR_URL: cluster.nodes.map((node) => node.monitorUrl).join(),
      }
      const process = await control(env)
      expect(await series(process, 'pelton_durability_met')).toEqual([expect.stringMatching(/ 1$/)])
      const { out } = await runCli(['doctor'], { env })
      expect(out).toMatch(
        /ok +durability: profile power; 3 copies of each stream, synced to disk with each write/,
      )

      const asked = {
        connection: await cluster.connect(),
        monitorUrls: env.PELTON_NATS_MONITOR_URL.split(','),
      }
      const later = { ...asked, monitorUrls: [...asked.monitorUrls, broker.monitorUrl] }
      expect(await isDurabilityMet(later, 'power')).toBe(false)
      await cluster.nodes[0]?.kill()
      // Streams that were led there elect another leader first.
      await vi.waitFor(async () => expect(await isDurabilityMet(asked, 'power')).toBeUndefined(), PATIENT)
      expect(await readSync(asked)).toEqual({ syncMs: undefined, silent: [asked.monitorUrls[0]] })
      expect(await isDurabilityMet(later, 'power')).toBe(false)
    } finally {
      await cluster.stop()
    }
  })
})

describe.concurrent('pelton status', () => {
  test('shows what the watch finds, and whether anybody watches', async ({ stage }) => {
    const { broker, connection, control } = stage
    const env = { PELTON_NATS_URL: broker.url }
    const before = await runCli(['status', '--json'], { env })
    expect(before.json()[0].watch).toEqual({ isWatched: false, watcher: '', lookedAt: '', alerts: [] })
    const process = await control({ PELTON_UNSERVED_MS: '300' })
    expect((await runCli(['status'], { env })).out).toContain('the watch finds nothing wrong')
    const store = openStore(connection)
    await store.window.publish({
      subject: subjects.feature({ pool: 'gpu', model: 'm', lane: 'normal' }),
      headers: [
        [HEADERS.id, 'event'],
        [HEADERS.source, 'test'],
      ],
      body: Buffer.from('{}'),
    })
    store.close()
    await vi.waitFor(
      async () => expect((await process.call('GET', '/v1/watch')).json.alerts).toHaveLength(1),
      PATIENT,
    )
    const [{ watch }] = (await runCli(['status', '--json'], { env })).json()
    expect(watch).toMatchObject({ isWatched: true, alerts: [{ kind: 'unserved-pool', about: 'gpu' }] })
    expect((await runCli(['status'], { env })).out).toMatch(
      /unserved-pool gpu, since .*\n {2}.*pelton provision/,
    )
    process.kill()
    expect(await process.ended).toBe(0)
    const after = (await runCli(['status'], { env })).out
    expect(after).toMatch(/no control service watches since .*\nunserved-pool gpu/)
  })
})
