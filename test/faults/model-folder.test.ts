import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { DEMO_MODEL } from '../../services/demo/models.ts'
import { countSubjects } from '../../shared/operations/broker/snapshot.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { type ControlProcess, startControl } from '../integration/control-process.ts'
import { readStream } from '../kit/outcomes.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { eventually } from '../kit/wait.ts'
import { addressOf, type WorkerProcess } from '../kit/worker-process.ts'
import { closeBareModels } from './kit/bare-model.ts'
import type { Feed } from './kit/feed.ts'
import { folderOf, MOVED_MODEL as MODEL, type ModelFolder, writeData } from './kit/model-folder.ts'
import { readLedger } from './kit/records.ts'
import { EVENTS, openStage, type Stage, type StagedEvent } from './kit/stage.ts'
import { flightEvents } from './kit/stage-events.ts'
import { stageModels } from './kit/stage-models.ts'

afterAll(closeBareModels)

const OF_EACH = EVENTS / 2
/** Each scenario sends so many, each in pieces: every worker that waits is handed some of them. */
const PORTIONS = 10
const PIECES = 10
const PAUSE_MS = 100
const PATIENT = { limitMs: 400_000, everyMs: 100 }

/** Two models, their events, and a watch: what a scenario looks at. */
interface Scene {
  readonly stage: Stage
  readonly flights: Feed
  /** Of the model whose folder changes. */
  readonly own: Feed
  readonly watch: ControlProcess
  readonly folder: ModelFolder
  /** Sends the next portion of both models. */
  send(): Promise<void>
}

const numbers = (count: number): readonly StagedEvent[] =>
  Array.from({ length: count }, (_each, index) => ({
    model: MODEL,
    id: `numbers-${index}`,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(index, index / 7) }],
  }))

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-folders-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function modelsFolder(): Promise<string> {
  const models = await stageModels({ [MODEL]: '' })
  await writeData(models)
  return models
}

/** What a machine of its own has: a models folder and a place for copies. */
async function openMachine() {
  const [models, copies] = [await modelsFolder(), await temporaryFolder()]
  return { models, env: { PELTON_HTTP_PORT: '0', PELTON_COPIES: copies } }
}

type Machine = Awaited<ReturnType<typeof openMachine>>

/**
 * @param machines where the worker in each place runs, and the one whose models folder changes
 */
async function openScene(
  fault: string,
  machines: { readonly machineOf: (place: number) => Machine; readonly changes: Machine },
): Promise<Scene> {
  const { machineOf, changes } = machines
  const { models } = machineOf(0)
  const stage = await openStage(fault, { models, events: await flightEvents(OF_EACH), worker: machineOf })
  const own = stage.addFeed(numbers(OF_EACH))
  const watch = await startControl({ url: stage.broker.url, dataDir: await temporaryFolder() })
  onTestFinished(async () => {
    watch.kill('SIGKILL')
    await watch.ended
  })
  const send = inPortions([stage.feed, own])
  return { stage, flights: stage.feed, own, watch, folder: folderOf(changes.models), send }
}

function inPortions(feeds: readonly Feed[]): () => Promise<void> {
  let step = 0
  return async () => {
    for (let piece = 0; piece < PIECES; piece++) {
      step++
      for (const feed of feeds)
        feed.send(Math.round((feed.size * step) / (PORTIONS * PIECES)) - feed.sent.size)
      await sleep(PAUSE_MS)
    }
  }
}

async function answeredOf({ connection }: Stage, model: string): Promise<number> {
  return (await countSubjects(connection, STREAMS.results, subjects.resultFilter(model))).counts.size
}

/** Waits until all that was sent is answered. */
async function untilAnswered({ stage }: Scene, feed: Feed): Promise<void> {
  const model = [...feed.sent.values()][0]?.model ?? DEMO_MODEL
  const isAnswered = async () =>
    feed.accepted.length === feed.sent.size && (await answeredOf(stage, model)) === feed.sent.size
  const seen = async () => [feed.sent.size, feed.accepted.length, await answeredOf(stage, model)]
  await eventually(`the events of ${model} to be answered`, isAnswered, { ...PATIENT, seen })
}

async function untilAllAnswered(scene: Scene): Promise<void> {
  await untilAnswered(scene, scene.flights)
  await untilAnswered(scene, scene.own)
}

/** Waits until all of the model that is not answered waits in RETRIES. Resolves with how many do. */
async function untilParked({ stage, own }: Scene): Promise<number> {
  const { connection } = stage
  const look = async () => {
    const { counts } = await countSubjects(
      connection,
      STREAMS.retries,
      subjects.retryFilter('default', MODEL),
    )
    const inFeatures = (await streamInfo(connection, STREAMS.features))?.state.messages
    const waiting = own.sent.size - (await answeredOf(stage, MODEL))
    return { parked: counts.size, inFeatures, waiting }
  }
  const found = await eventually(
    'what is not answered to be parked',
    async () => {
      const seen = await look()
      return seen.inFeatures === 0 && seen.parked > 0 && seen.parked === seen.waiting && seen
    },
    { ...PATIENT, seen: look },
  )
  return found.parked
}

/** Ends a worker in order, while events are on their way; another takes its place, and has never seen the model. */
async function replace({ stage, send }: Scene, place: number): Promise<WorkerProcess> {
  const { fleet } = stage
  const sending = send()
  await fleet.end('SIGTERM', await fleet.inPlace(place))
  await sending
  return fleet.inPlace(place)
}

/** The metric that the rule of the alert reads, and what the worker serves. */
async function servingOf(worker: WorkerProcess): Promise<{ serves: boolean; causes: readonly string[] }> {
  const scrape = readPrometheus(await (await fetch(`${await addressOf(worker)}/metrics`)).text())
  const raised = scrape
    .samples('pelton_model_not_servable')
    .filter(({ labels, value }) => labels.model === MODEL && value === 1)
  return {
    serves: scrape.value('pelton_model_info', { model: MODEL }) === 1,
    causes: raised.map(({ labels }) => labels.cause ?? ''),
  }
}

async function untilLacks(worker: WorkerProcess): Promise<void> {
  await eventually(
    'the metric of the alert to be raised',
    async () => {
      const { serves, causes } = await servingOf(worker)
      return !serves && causes.some((cause) => cause === 'unavailable' || cause === 'refused')
    },
    { ...PATIENT, seen: () => servingOf(worker) },
  )
}

async function untilServes(worker: WorkerProcess): Promise<void> {
  await eventually(
    'the metric of the alert to be lowered',
    async () => {
      const { serves, causes } = await servingOf(worker)
      return serves && causes.length === 0
    },
    { ...PATIENT, seen: () => servingOf(worker) },
  )
}

/** Waits until the watch's alert says this of the model; undefined: until there is none. */
async function untilAlert({ watch }: Scene, text: RegExp | undefined): Promise<void> {
  const alerts = async () => {
    const { json } = await watch.call('GET', '/v1/watch')
    const all = json.alerts as readonly { kind: string; about: string; text: string }[]
    return all.filter(({ kind }) => kind === 'model-not-servable')
  }
  const what = text === undefined ? 'the alert to end' : `an alert like ${text}`
  await eventually(
    what,
    async () => {
      const found = await alerts()
      if (text === undefined) return found.length === 0
      return found.length === 1 && found[0]?.about === `default/${MODEL}` && text.test(found[0].text)
    },
    { ...PATIENT, seen: alerts },
  )
}

/** No event of the other model was handed on, parked or answered twice; none of the model has lost an attempt. */
async function expectUndisturbed({ stage, flights }: Scene): Promise<void> {
  const ledger = await readLedger(stage.connection)
  const ends = flights.accepted.map(({ sequence }) => ledger.get(`${STREAMS.features} ${sequence}`)?.join())
  expect(new Set(ends), 'ends of the other model in the ledger').toEqual(new Set(['predicted']))
  const results = await readStream(stage.connection, STREAMS.results)
  const attempts = results.map(({ headers }) => readHeader(headers, HEADERS.attempt))
  expect(new Set(attempts), 'attempts of all answers').toEqual(new Set(['1']))
}

/** Events that workers handed on which have ended since. */
function handedOnBy({ fleet }: Stage): number {
  const drained = fleet.logLines().filter(({ msg }) => msg === 'drained')
  return drained.reduce((sum, counts) => sum + Number(counts['handed-on'] ?? 0), 0)
}

describe('the folder of one model is away, another, half copied, overwritten in place, and back', () => {
  test('its events wait where nobody serves it, every answer is exact, and the other model goes on', async () => {
    const machine = await openMachine()
    const scene = await openScene('models folder: away, flipped, half copied, overwritten', {
      machineOf: () => machine,
      changes: machine,
    })
    const { stage, folder } = scene
    await scene.send()
    await untilAllAnswered(scene)

    await folder.takeAway()
    await scene.send()
    await untilAllAnswered(scene) // from copies
    const lacking = [await replace(scene, 0), await stage.fleet.grow()]
    for (const worker of lacking) await untilLacks(worker)
    await untilAlert(scene, /: 2 of 4 workers serve it/)
    await untilAllAnswered(scene)

    await folder.flip()
    lacking.push(await replace(scene, 1))
    for (const worker of lacking) await untilLacks(worker)
    await untilAllAnswered(scene)

    await folder.copyHalf()
    lacking.push(await replace(scene, 2))
    for (const worker of lacking) await untilLacks(worker)
    await scene.send()
    await untilAnswered(scene, scene.flights)
    const parked = await untilParked(scene)
    await untilAlert(scene, /: no worker serves it, [\d,]+ of its events wait in RETRIES/)

    await folder.bringBack()
    stage.faultEnded()
    for (const worker of lacking) await untilServes(worker)
    await untilAlert(scene, undefined)
    await scene.send()
    await untilAllAnswered(scene)

    await folder.overwrite()
    await scene.send()
    await untilAllAnswered(scene) // from copies
    const late = await replace(scene, 3)
    await untilLacks(late)
    await untilAlert(scene, /: 3 of 4 workers serve it/)
    await folder.restore()
    await untilServes(late)
    await untilAlert(scene, undefined)
    await scene.send()
    await stage.conclude({ note: `${parked} parked while nobody served it` })
    await expectUndisturbed(scene)
    expect(stage.fleet.ends).toEqual([0, 0, 0, 0])
  })
})

describe('one worker of three cannot serve a model', () => {
  test('its events are handed on to the others, none is parked, every answer is exact', async () => {
    const [machine, other] = [await openMachine(), await openMachine()]
    const scene = await openScene('models folder: of one worker of three', {
      machineOf: (place) => (place < 2 ? machine : other),
      changes: other,
    })
    const { stage, folder } = scene
    const lastParked = async () => (await streamInfo(stage.connection, STREAMS.retries))?.state.last_seq
    const before = await lastParked()
    await scene.send()
    await untilAllAnswered(scene)
    const states = [folder.takeAway, folder.flip, folder.copyHalf]
    for (const change of states) {
      await change()
      const lacking = await replace(scene, 2)
      await untilLacks(lacking)
      await untilAlert(scene, /: 2 of 3 workers serve it/)
      await scene.send()
      await untilAllAnswered(scene)
    }
    const newcomer = await stage.fleet.grow()
    await untilLacks(newcomer)
    await untilAlert(scene, /: 2 of 4 workers serve it/)

    await folder.bringBack()
    stage.faultEnded()
    for (const worker of [newcomer, await stage.fleet.inPlace(2)]) await untilServes(worker)
    await untilAlert(scene, undefined)
    await folder.overwrite()
    const late = await replace(scene, 3)
    await untilLacks(late)
    await untilAlert(scene, /: 3 of 4 workers serve it/)
    await scene.send()
    await untilAllAnswered(scene)
    await folder.restore()
    await untilServes(late)
    await untilAlert(scene, undefined)
    await scene.send()
    const handedOn = handedOnBy(stage)
    await stage.conclude({ note: `${handedOn} handed on` })
    await expectUndisturbed(scene)
    expect(await lastParked(), 'nothing was ever parked').toBe(before)
    expect(handedOn, 'events handed on').toBeGreaterThan(0)
    expect(stage.fleet.ends).toEqual([0, 0, 0, 0])
  })
})
