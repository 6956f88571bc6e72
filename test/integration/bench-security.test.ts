import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type FlightEvent, loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL } from '../../services/demo/models.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { openSecurity } from '../../shared/sdk/jetstream/connection-security.ts'
import { ownAnswers, type Truth, whyVoid } from '../bench/suite/inspect.ts'
import { type OpenWay, openWays } from '../bench/suite/ways-in.ts'
import { MODEL_PATH } from '../bench/suite/workplace.ts'
import { latestModels } from '../kit/models-folder.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { openStage, type Stage } from '../scale/stage.ts'

const EVENTS = 40

interface Connz {
  readonly connections: readonly { readonly tls_version?: string; readonly authorized_user?: string }[]
}

describe('a way in that the bench measures', () => {
  const { signal } = new AbortController()
  let folder: string
  let flights: readonly FlightEvent[]
  let truth: Truth
  let ways: ReadonlyMap<string, OpenWay>
  let stage: Stage | undefined
  let worker: WorkerProcess | undefined

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pelton-ways-in-'))
    ways = new Map((await openWays(folder)).map((way) => [way.name, way]))
    flights = await loadFlights({ count: 16 })
    truth = await ownAnswers(
      MODEL_PATH,
      flights.map(({ features }) => ({ ...features })),
    )
  })

  afterEach(async () => {
    worker?.kill('SIGTERM')
    await worker?.ended
    await stage?.close()
    worker = undefined
    stage = undefined
  })

  afterAll(() => rm(folder, { recursive: true, force: true }))

  /** Answers some flights by it; returns what the server says of the connections meanwhile. */
  async function answerBy(name: string): Promise<{ readonly stage: Stage; readonly connections: Connz }> {
    const { access, env } = ways.get(name) as OpenWay
    const opened = await openStage({ access })
    stage = opened
    await opened.publishFlights(flights, EVENTS, [DEMO_MODEL])
    worker = await startWorkerProcess({ url: opened.url, models: latestModels(), env })
    await opened.answered(EVENTS)
    const connections = (await (await fetch(`${opened.monitorUrl}/connz?auth=1`)).json()) as Connz
    expect(await whyVoid(opened, truth, EVENTS, signal)).toBeUndefined()
    return { stage: opened, connections }
  }

  test('plain: anybody, in the clear', async () => {
    const { connections } = await answerBy('plain')
    expect(connections.connections.length).toBeGreaterThanOrEqual(2)
    for (const { tls_version, authorized_user } of connections.connections)
      expect([tls_version, authorized_user]).toEqual([undefined, undefined])
  })

  test('tls: every connection is encrypted, and one without is refused', async () => {
    const { connections, stage } = await answerBy('tls')
    expect(connections.connections.length).toBeGreaterThanOrEqual(2)
    for (const { tls_version } of connections.connections) expect(tls_version).toBe('1.3')
    await expect(connect({ servers: stage.url, reconnect: false })).rejects.toThrow()
  })

  test('rights: two users, of whom the worker may not do everything', async () => {
    const { connections, stage } = await answerBy('rights')
    const users = new Set(connections.connections.map(({ authorized_user }) => authorized_user))
    expect([...users]).toEqual([expect.stringMatching(/^U[A-Z2-7]{55}$/), expect.stringMatching(/^U/)])
    await expect(connect({ servers: stage.url, reconnect: false })).rejects.toThrow(/authorization/i)
    const { PELTON_NATS_NKEY: nkeyFile } = ways.get('rights')?.env ?? {}
    const asWorker = await connect(openSecurity({ url: stage.url, nkeyFile }).settings)
    try {
      await expect(asWorker.subscribe('>')[Symbol.asyncIterator]().next()).rejects.toThrow(/permissions/i)
    } finally {
      await asWorker.close()
    }
  })

  test('prefix: there are no streams without it', async () => {
    const { stage } = await answerBy('prefix')
    const other = await connect({ servers: stage.url })
    try {
      expect(await streamInfo(other, STREAMS.results)).toBeUndefined()
    } finally {
      await other.close()
    }
  })
})
