import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { audit } from '../../shared/operations/audit/audit.ts'
import { reportLines } from '../../shared/operations/audit/report-lines.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { startTestCluster } from '../kit/cluster.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { type HttpAnswer, type HttpLoad, openHttpLoad } from '../kit/http-load.ts'
import { readStream } from '../kit/outcomes.ts'
import { bareOutputs, closeBareModels } from './kit/bare-model.ts'
import { EVENTS, IS_FULL, openStage, type Stage } from './kit/stage.ts'
import { flightEvents, type StagedEvent } from './kit/stage-events.ts'

const CONNECTIONS = IS_FULL ? 200 : 60
/** Requests that are sent in a second, over all connections. */
const PER_SECOND = IS_FULL ? 400 : 150

afterAll(closeBareModels)

/** What became of a request. */
interface Asked {
  readonly event: StagedEvent
  readonly answer: HttpAnswer
}

interface Callers {
  readonly load: HttpLoad
  readonly gateways: GatewayProcess[]
  /** Sends all requests at a steady pace, and waits for every answer. */
  ask(events: readonly StagedEvent[], timeoutMs: number): Promise<readonly Asked[]>
  /** Ends one gateway and starts another in its place: callers see that one once it listens. */
  restart(place: number): Promise<void>
}

/** Gateways in front of a stage, and clients that keep their connections. */
async function openCallers(stage: Stage, count: number): Promise<Callers> {
  const start = () => startGateway({ url: stage.broker.url, env: { PELTON_GATEWAY_MAX_IN_FLIGHT: '50000' } })
  const gateways: GatewayProcess[] = []
  const listening = new Set<GatewayProcess>()
  onTestFinished(async () => {
    for (const gateway of gateways) gateway.kill('SIGKILL')
    await Promise.all(gateways.map(({ ended }) => ended))
  })
  for (let place = 0; place < count; place++) {
    const gateway = await start()
    gateways.push(gateway)
    listening.add(gateway)
  }
  const load = openHttpLoad(() => [...listening].map(({ address }) => address), CONNECTIONS / count)
  onTestFinished(() => load.close())
  return {
    load,
    gateways,
    async ask(events, timeoutMs) {
      const began = performance.now()
      const asked = events.map(async (event, index): Promise<Asked> => {
        await sleep(Math.max(0, began + (1_000 * index) / PER_SECOND - performance.now()))
        const { model, features } = event
        const body = JSON.stringify({ features, parameters: { timeout: timeoutMs * 1_000 } })
        return { event, answer: await load.send('POST', `/v2/models/${model}/infer`, body) }
      })
      return Promise.all(asked)
    },
    async restart(place) {
      const old = gateways[place] as GatewayProcess
      listening.delete(old) // as a balancer does that is told first
      const next = await start()
      gateways[place] = next
      listening.add(next)
      old.kill('SIGTERM')
      expect(await old.ended).toBe(0)
    },
  }
}

const jsonOf = ({ body }: HttpAnswer) => JSON.parse(body.toString()) as Record<string, unknown>

/** Whether a 200 is what the model itself says to these very features. */
async function isRight(event: StagedEvent, answer: HttpAnswer): Promise<boolean> {
  const { model_version: version, outputs } = jsonOf(answer) as {
    model_version: string
    outputs: { name: string; data: unknown[] }[]
  }
  const own = await bareOutputs(DEMO_MODELS, version, event)
  return outputs.every(({ name, data }) =>
    Array.from(own.get(name) ?? []).every((value, at) => Number(value) === Number(data[at])),
  )
}

/** Every request has one answer of its own; what was accepted is accounted for. */
async function judge(stage: Stage, asked: readonly Asked[]): Promise<void> {
  const right = await Promise.all(
    asked.map(async ({ event, answer }) => answer.status !== 200 || (await isRight(event, answer))),
  )
  expect(
    asked.filter((_, index) => right[index] !== true),
    'answers that are not the model’s own',
  ).toEqual([])
  const tokens = asked.map(({ answer }) => answer.headers['pelton-token'])
  expect(new Set(tokens).size, 'requests with a token of their own').toBe(asked.length)
  await stage.drained()
  const results = await readStream(stage.connection, STREAMS.results)
  const answered = new Set(results.map(({ subject }) => subject.slice(subject.lastIndexOf('.') + 1)))
  expect(results.length, 'events with more than one outcome').toBe(answered.size)
  expect(
    tokens.filter((token) => !answered.has(String(token))),
    'accepted and never answered',
  ).toEqual([])
  const { report } = await audit(stage.connection, {
    full: true,
    deep: true,
    signal: new AbortController().signal,
  })
  expect(
    report.clean,
    reportLines(report)
      .map(({ text }) => text)
      .join('\n'),
  ).toBe(true)
}

function countBy(asked: readonly Asked[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { answer } of asked) counts[answer.status] = (counts[answer.status] ?? 0) + 1
  return counts
}

/** Ends workers with SIGKILL, one every few seconds, until `until` resolves. @returns how many */
async function keepKilling({ fleet, random }: Stage, until: Promise<unknown>): Promise<number> {
  let isOver = false
  void until.finally(() => {
    isOver = true
  })
  let kills = 0
  while (!isOver) {
    await sleep(1_000 + 2_000 * random())
    if (isOver || fleet.workers.length < 2) continue
    await fleet.end('SIGKILL')
    kills++
  }
  return kills
}

describe('requests over HTTP', () => {
  test('are answered, each with the answer to its own, while workers are killed', async () => {
    const stage = await openStage('gateway: kill -9 of workers', { events: [] })
    const callers = await openCallers(stage, 1)
    const asking = callers.ask(await flightEvents(EVENTS), 120_000)
    const kills = await keepKilling(stage, asking)
    const asked = await asking
    const good = asked.filter(({ answer }) => answer.status === 200).length
    console.log(
      `gateway: ${asked.length} requests, ${CONNECTIONS} connections, ${kills} kills:`,
      countBy(asked),
    )
    expect(good / asked.length, JSON.stringify(countBy(asked))).toBeGreaterThanOrEqual(0.999)
    expect(kills).toBeGreaterThan(0)
    await judge(stage, asked)
  })

  test('that wait 5 s are answered or told where to ask later', async () => {
    const stage = await openStage('gateway: no worker for longer than the timeout', { events: [] })
    const callers = await openCallers(stage, 1)
    const asking = callers.ask(await flightEvents(EVENTS), 5_000)
    await sleep(2_000)
    for (const worker of [...stage.fleet.workers]) process.kill(worker.pid, 'SIGSTOP')
    await sleep(8_000)
    for (const worker of [...stage.fleet.workers]) process.kill(worker.pid, 'SIGCONT')
    const asked = await asking
    const late = asked.filter(({ answer }) => answer.status === 504)
    console.log(`gateway: ${asked.length} requests of 5 s:`, countBy(asked))
    expect(asked.filter(({ answer }) => ![200, 504].includes(answer.status))).toEqual([])
    expect(late.length).toBeGreaterThan(0)
    await judge(stage, asked)
    for (const { event, answer } of late) {
      const { token } = jsonOf(answer)
      expect(token).toBe(answer.headers['pelton-token'])
      // One that was given up says so itself: it can be asked for as well.
      const later = await callers.load.send('GET', String(answer.headers.location))
      expect([200, 504], later.body.toString()).toContain(later.status)
      expect(later.headers['pelton-token']).toBe(token)
      if (later.status === 200) expect(await isRight(event, later)).toBe(true)
      else expect(jsonOf(later).reason).toBe('deadline-exceeded')
    }
  })

  test('survive a change of leaders and a rolling restart of two gateways: no answer is lost, none is 5xx', async () => {
    const cluster = await startTestCluster({})
    onTestFinished(() => cluster.stop())
    const stage = await openStage('gateway: leader change, rolling restart', {
      broker: cluster,
      topology: { replicas: 3 },
      events: [],
    })
    const callers = await openCallers(stage, 2)
    const asking = callers.ask(await flightEvents(EVENTS), 120_000)
    await sleep(1_000)
    for (const stream of [STREAMS.features, STREAMS.results, STREAMS.ledger])
      await requestApi(stage.connection, `STREAM.LEADER.STEPDOWN.${stream}`)
    for (const place of [0, 1]) await callers.restart(place)
    const asked = await asking
    console.log(`gateway: ${asked.length} requests, leaders stepped down, two restarts:`, countBy(asked))
    expect(countBy(asked)).toEqual({ 200: asked.length })
    await judge(stage, asked)
    expect((await streamInfo(stage.connection, STREAMS.features))?.state.messages).toBe(0)
  })
})
