import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { leaderOf, startTestCluster, type TestCluster } from '../kit/cluster.ts'
import { publishEvent } from '../kit/pipeline.ts'
import { eventually, PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { type ControlProcess, startControl } from './control-process.ts'
import { metricOf } from './control-stage.ts'

const SEEN = 'server-away'

let cluster: TestCluster
let dataDir: string
let control: ControlProcess
let connection: NatsConnection

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'pelton-servers-'))
  cluster = await startTestCluster()
  await cluster.provision()
  connection = await cluster.connect()
  control = await startControl({ url: cluster.url, dataDir })
})
afterAll(async () => {
  control?.kill('SIGKILL')
  await control?.ended
  await cluster?.stop()
  if (dataDir !== undefined) await rm(dataDir, { recursive: true, force: true })
})

/** Whatever became of the test before. */
beforeEach(async () => {
  for (const node of cluster.nodes) await node.start()
})

interface AlertSeen {
  readonly kind: string
  readonly about: string
  readonly text: string
}

/** Alerts of the watch of these kinds, as `kind about`. */
async function alerts(...kinds: readonly string[]): Promise<readonly string[]> {
  const { json } = await control.call('GET', '/v1/watch')
  const found: readonly AlertSeen[] = json.alerts ?? []
  return found.filter(({ kind }) => kinds.includes(kind)).map(({ kind, about }) => `${kind} ${about}`)
}

const metric = (name: string, labels: Readonly<Record<string, string>>): Promise<number | undefined> =>
  metricOf(control, name, labels)

/** A command of an operator who reaches the servers that are there. */
async function run(...args: readonly string[]) {
  const there = cluster.nodes.filter(({ isRunning }) => isRunning)
  const url = there.map(({ directUrl }) => directUrl).join(',')
  return runCli(args, { env: { PELTON_NATS_URL: url, PELTON_DATA: dataDir } })
}

async function lineOf(check: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  return (await run('doctor', '--json')).json().find((line) => line.check === check)
}

/** A node that leads neither FEATURES nor the cluster: its end is no election of either. */
async function bystander(): Promise<string> {
  const leaders = [await leaderOf(connection, STREAMS.features), await cluster.metaLeader()]
  const found = cluster.nodes.find(({ name }) => !leaders.includes(name))
  return found?.name ?? ''
}

const isGone = async (): Promise<void> => {
  await cluster.ready()
  await vi.waitFor(
    async () =>
      expect(await alerts(SEEN, 'no-leader', 'replica-behind', 'replica-not-current', 'unwatched')).toEqual(
        [],
      ),
    PATIENT,
  )
}

describe('a cluster of three', () => {
  it('is well: status, doctor, watch and metrics say so', async () => {
    await isGone()
    expect(await lineOf('servers')).toMatchObject({
      level: 'ok',
      text: 'all 3 that hold replicas are there and up to date',
    })
    const status = await run('status', '--json')
    expect(status.json()[0].troubles).toEqual([])
    for (const { name } of cluster.nodes) {
      expect(await metric('pelton_server_silence_seconds', { server_name: name })).toBeLessThan(5)
      expect(
        await metric('pelton_replica_lag', { server_name: name, stream_name: STREAMS.features }),
      ).toBeLessThan(1_000)
    }
    expect(await metric('pelton_leaderless', {})).toBe(0)
  })

  it('without one of them: it is named everywhere, and no more once it is back', async () => {
    const name = await bystander()
    await cluster.node(name).kill()
    await vi.waitFor(async () => expect(await alerts(SEEN)).toEqual([`${SEEN} ${name}`]), PATIENT)
    const told = `server ${name} is away: `
    expect(await lineOf('servers')).toMatchObject({
      level: 'warn',
      text: expect.stringContaining(told),
      remedy: expect.stringContaining('docs/runbooks/server-away.md'),
    })
    const status = await run('status')
    expect(status.code).toBe(0)
    expect(status.out.split('\n').filter((line) => line.includes(told))).toHaveLength(1)
    expect(status.out).not.toContain('the watch finds nothing wrong')
    const silentS = await metric('pelton_server_silence_seconds', { server_name: name })
    expect(silentS).toBeGreaterThanOrEqual(5)
    expect(await metric('pelton_watch_alerts', { kind: SEEN })).toBe(1)

    await cluster.node(name).start()
    await isGone()
    expect((await run('status')).out).not.toContain(told)
    expect(await lineOf('servers')).toMatchObject({ level: 'ok' })
    expect(await metric('pelton_watch_alerts', { kind: SEEN })).toBe(0)
  })

  it('with one that stands still while events come: it is away and behind, and catches up', async () => {
    const name = await bystander()
    const others = cluster.nodes.filter((node) => node.name !== name)
    const publisher = await cluster.connect({ url: others.map(({ directUrl }) => directUrl).join(',') })
    cluster.node(name).pause()
    let isDone = false
    let published = 0
    const publish = async (): Promise<void> => {
      while (!isDone) await publishEvent(publisher, { id: `e${published++}` }).catch(() => undefined)
    }
    const publishing = Array.from({ length: 8 }, publish)
    try {
      await vi.waitFor(
        async () =>
          expect(await alerts(SEEN, 'replica-behind')).toEqual([`${SEEN} ${name}`, `replica-behind ${name}`]),
        PATIENT,
      )
      const lag = await metric('pelton_replica_lag', { server_name: name, stream_name: STREAMS.features })
      expect(lag).toBeGreaterThanOrEqual(1_000)
      const doctor = (await run('doctor', '--json')).json().filter(({ check }) => check === 'servers')
      expect(doctor.map(({ level, text }) => [level, text.replace(/\d[\d,.]*( s)?/g, '#')])).toEqual([
        ['warn', expect.stringMatching(`^server ${name.replace(/\d/, '#')} is away: silent for #`)],
        [
          'warn',
          `replicas on server ${name.replace(/\d/, '#')} are behind, by # operations at most: FEATURES`,
        ],
      ])
    } finally {
      isDone = true
      await Promise.all(publishing)
      cluster.node(name).resume()
    }
    await isGone()
    expect(await lineOf('servers')).toMatchObject({ level: 'ok' })
    await requestApi(connection, `STREAM.PURGE.${STREAMS.features}`)
  })

  it('with a stream whose only server is away: it has no leader, and the others are told as before', async () => {
    const leader = await eventually('a leader of FEATURES that does not lead the cluster', async () => {
      const name = await leaderOf(connection, STREAMS.features)
      if (name !== (await cluster.metaLeader())) return name
      await requestApi(connection, `STREAM.LEADER.STEPDOWN.${STREAMS.features}`).catch(() => undefined)
      return undefined
    })
    onTestFinished(async () => {
      await cluster.node(leader).start()
      await cluster.ready()
      await setReplicas(3)
    })
    await setReplicas(1)
    expect(await leaderOf(connection, STREAMS.features)).toBe(leader)
    await cluster.node(leader).kill()
    const about = `no-leader ${STREAMS.features}`
    await vi.waitFor(async () => expect(await alerts('no-leader')).toEqual([about]), PATIENT)
    // What else it led has another leader soon.
    const leaderless = (stream: string) => metric('pelton_leaderless', { stream_name: stream })
    await vi.waitFor(async () => {
      expect([await leaderless(STREAMS.features), await leaderless(STREAMS.results)]).toEqual([1, 0])
    }, PATIENT)
    const status = await run('status')
    expect(status.code).toBe(1)
    expect(status.out).toMatch(/^FEATURES +not known: no leader answers/m)
    expect(status.out).toContain('stream FEATURES has no leader that answers')
    const doctor = (await run('doctor', '--json')).json().filter(({ check }) => check === 'servers')
    expect(doctor).toContainEqual(
      expect.objectContaining({ level: 'fail', text: expect.stringContaining('FEATURES has no leader') }),
    )
    await cluster.node(leader).start()
    await isGone()
    expect((await run('status')).out).not.toContain('no leader')
  })

  it('without a majority: nobody can write the record of the watch, and the control service says so', async () => {
    const [first, second] = cluster.nodes
    await first?.kill()
    await second?.kill()
    await vi.waitFor(
      async () => expect(await metric('pelton_watch_alerts', { kind: 'unwatched' })).toBe(1),
      PATIENT,
    )
    // The metric is read as of now; the log is told once the look that is under way has failed.
    const told = expect.objectContaining({ alert: 'unwatched', remedy: expect.any(String) })
    await vi.waitFor(() => expect(control.log).toContainEqual(told), PATIENT)
    await first?.start()
    await second?.start()
    await isGone()
    expect(await metric('pelton_watch_alerts', { kind: 'unwatched' })).toBe(0)
    expect(await lineOf('watch')).toMatchObject({ level: 'ok' })
  })
})

async function setReplicas(count: number): Promise<void> {
  const config = (await streamInfo(connection, STREAMS.features))?.config
  await requestApi(connection, `STREAM.UPDATE.${STREAMS.features}`, { ...config, num_replicas: count })
  await vi.waitFor(async () => {
    const { cluster: group } = (await streamInfo(connection, STREAMS.features)) ?? {}
    expect(group?.replicas?.filter(({ current }) => current) ?? []).toHaveLength(count - 1)
  }, PATIENT)
}
