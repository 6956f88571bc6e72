import type { Delivery } from '../../../services/worker/intake/delivery.ts'
import { audit } from '../../../shared/operations/audit/audit.ts'
import { declarePurged } from '../../../shared/operations/audit/declare-purged.ts'
import { writeFloor } from '../../../shared/operations/audit/floor.ts'
import { browseDeadLetters } from '../../../shared/operations/dead-letters/browse.ts'
import { removeAndRecord } from '../../../shared/operations/dead-letters/removal.ts'
import { exportLines, importLines } from '../../../shared/operations/dead-letters/transfer.ts'
import type { DeadLetterEntry } from '../../../shared/operations/records/dead-letter.ts'
import { Books } from '../../../shared/operations/replay/books.ts'
import { InFlight } from '../../../shared/operations/replay/in-flight.ts'
import { planReplay } from '../../../shared/operations/replay/plan.ts'
import { DEFAULT_OPTIONS, halt, resume, start } from '../../../shared/operations/replay/replays.ts'
import { Sender } from '../../../shared/operations/replay/sender.ts'
import { createTask } from '../../../shared/operations/replay/taking.ts'
import { keepTask } from '../../../shared/operations/replay/task.ts'
import { HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../../shared/sdk/jetstream/api.ts'
import { deadLettered, type HistoryStage, openHistoryStage, predicted } from './history-stage.ts'
import type { LawfulAct } from './lawful-acts.ts'

const BY = 'ops'
const AT_ONCE = {
  ...DEFAULT_OPTIONS,
  lane: 'normal',
  rate: 100_000,
  rampSeconds: 0,
  maxFailureShare: 1,
} as const
const AS_IS = { reason: 'inference-failed' } as const

/** Serves what replays have sent, until it is told that they have ended. */
async function serveReplays(stage: HistoryStage, until: Promise<unknown>): Promise<void> {
  let isOver = false
  const over = until.finally(() => {
    isOver = true
  })
  while (!isOver) {
    const sent = (await stage.worker().waiting()).filter(isOfReplay)
    await stage
      .worker()
      .settle(sent, (delivery) => (stage.random() < 0.7 ? predicted : deadLettered())(delivery))
  }
  await over
}

function isOfReplay({ event }: Delivery): boolean {
  return readHeader(event.headers, HEADERS.replay) !== undefined
}

/** A replay that runs to its end; some of its events fail again. */
const replayed: LawfulAct = async (stage) => {
  const run = { by: BY, signal: new AbortController().signal }
  const { running } = await start(stage.store, { filter: AS_IS, options: { ...AT_ONCE, cap: 4 } }, run)
  if (running !== undefined) await serveReplays(stage, running.ended)
}

/** Sends some dead letters as a replay does, and stops there. @returns the task */
async function sendAndLeave(stage: HistoryStage, state: 'running' | 'paused'): Promise<string | undefined> {
  const { store } = stage
  const plan = await planReplay(store.connection, AS_IS, AT_ONCE)
  if (plan.sent === 0) return undefined
  const taking = { keyValue: store.keyValue, by: BY, now: () => new Date() }
  const kept = await createTask(taking, AS_IS, AT_ONCE, plan)
  const deps = { ...store, now: () => new Date() }
  const books = new Books(deps, kept, () => undefined)
  const inFlight = new InFlight({
    connection: store.connection,
    onEnd: () => undefined,
    onLost: () => undefined,
  })
  const { signal } = new AbortController()
  const sender = new Sender(deps, { task: kept.value, books, inFlight, signal })
  for (const entry of (await lettersOf(stage)).slice(0, 3)) await sender.send(entry)
  inFlight.close()
  books.abandon()
  if (state === 'paused') await keepTask(store.keyValue, { ...kept.value, state }, kept.revision)
  return kept.value.id
}

async function lettersOf({ connection }: HistoryStage): Promise<DeadLetterEntry[]> {
  const letters: DeadLetterEntry[] = []
  for await (const entry of browseDeadLetters(connection, { filter: AS_IS })) letters.push(entry)
  return letters
}

/** The process that ran a replay is gone: what it sent waits, or is answered, and the holds stand. */
const replayLeft: LawfulAct = async (stage) => void (await sendAndLeave(stage, 'running'))

/** A replay is paused with events under way, some of them answered, and goes on or is cancelled. */
const replayPaused: LawfulAct = async (stage) => {
  const id = await sendAndLeave(stage, 'paused')
  if (id === undefined) return
  const sent = (await stage.worker().waiting()).filter(isOfReplay)
  await stage.worker().settle(stage.some(sent, 0.5), predicted)
  const run = { by: BY, signal: new AbortController().signal }
  const roll = stage.random()
  if (roll < 0.3) await serveReplays(stage, halt(stage.store, id, 'cancelled', run))
  else if (roll < 0.6)
    await serveReplays(
      stage,
      resume(stage.store, id, run).then(({ ended }) => ended),
    )
}

/** Discards or purges some dead letters. */
const removed: LawfulAct = async (stage) => {
  const letters = stage.some(await lettersOf(stage), 0.5)
  if (letters.length === 0) return
  const which = letters.map(({ token }) => ({ token }))
  const outcome = stage.pick(['discarded', 'purged'] as const)
  const request = { outcome, which, filter: {}, because: 'a trial', by: BY }
  const run = { signal: new AbortController().signal, onHeld: () => undefined }
  await removeAndRecord(stage.store, request, run)
}

/** Dead letters are exported, removed, and imported again. */
const importedAgain: LawfulAct = async (stage) => {
  const lines = await exported(stage)
  await removed(stage)
  await importAll(stage, lines)
}

/** Dead letters of another broker are imported. */
const importedFromElsewhere: LawfulAct = async (stage) => {
  const other = await openHistoryStage(1)
  try {
    const prefix = `elsewhere-${stage.ids.length}`
    for (const index of [1, 2, 3]) await other.publish(`${prefix}-${index}`)
    await other.worker().settle(await other.worker().waiting(), deadLettered())
    await importAll(stage, await exported(other))
  } finally {
    await other.close()
  }
}

async function exported({ connection }: HistoryStage): Promise<string[]> {
  const lines: string[] = []
  for await (const line of exportLines(connection, {}, new AbortController().signal)) lines.push(line)
  return lines
}

async function importAll({ store }: HistoryStage, lines: readonly string[]): Promise<void> {
  const numbered = async function* () {
    for (const [index, line] of lines.entries()) yield { number: index + 1, bytes: Buffer.from(line.trim()) }
  }
  const { error } = await importLines(store, numbered(), { by: BY, signal: new AbortController().signal })
  if (error !== undefined) throw error
}

/** Waiting events are purged by other means, and somebody signs for them. */
const purgedAndSigned: LawfulAct = async (stage) => {
  const { connection } = stage
  const waiting = await stage.worker().waiting()
  const victims = stage.some(
    waiting.filter((delivery) => delivery.info.stream === STREAMS.features && !isOfReplay(delivery)),
    0.3,
  )
  for (const { info } of victims)
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.features}`, { seq: info.streamSequence })
  const { report } = await audit(connection, { signal: AbortSignal.abort() })
  if (report.lost.length > 0) await declarePurged(connection, report, report.lost, `operator ${BY}: a trial`)
}

/** A clean audit is signed off. */
const signedOff: LawfulAct = async ({ connection }) => {
  const { floor, revision } = await audit(connection, { signal: AbortSignal.abort() })
  if (floor !== undefined) await writeFloor(connection, floor, revision)
}

/** FEATURES is deleted with nothing in it, made anew, and the audit signed off. */
const featuresMadeAnew: LawfulAct = async (stage) => {
  const { broker, connection } = stage
  for (let rounds = 0; rounds < 3; rounds++) {
    const waiting = (await stage.worker().waiting()).filter(({ info }) => info.stream === STREAMS.features)
    await stage.worker().settle(waiting, predicted)
  }
  await signedOff(stage)
  await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
  await broker.provision()
  await stage.renewWorker()
  await signedOff(stage)
}

/** What operators do, by name. */
export const OPERATORS = {
  replayed,
  'replay left': replayLeft,
  'replay paused': replayPaused,
  removed,
  'imported again': importedAgain,
  'imported from elsewhere': importedFromElsewhere,
  'purged and signed': purgedAndSigned,
  'signed off': signedOff,
  'FEATURES made anew': featuresMadeAnew,
} as const satisfies Readonly<Record<string, LawfulAct>>
