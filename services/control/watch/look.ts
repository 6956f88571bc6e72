import type { NatsConnection } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { type BrokerLook, lookAtBroker } from '../../../shared/operations/broker/broker-look.ts'
import { inParallel } from '../../../shared/operations/broker/parallel.ts'
import type { ReplicaGroup } from '../../../shared/operations/broker/replicas.ts'
import type { AllPools } from '../../../shared/operations/models/all-pools.ts'
import { unservedModels } from '../../../shared/operations/models/unserved-models.ts'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import { letGoOfEnded } from '../../../shared/operations/replay/left-holds.ts'
import { carryOn, firstOfEachKind, type NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import { Marking } from '../../../shared/operations/watch-record/marks.ts'
import type {
  ConsumerReset,
  RemovalEnded,
  WatchRecord,
} from '../../../shared/operations/watch-record/record.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { findApi, NOT_FOUND, type StreamInfo } from '../../../shared/sdk/jetstream/api.ts'
import type { Expiry } from '../../../shared/sdk/jetstream/expiry.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { expiryAlerts } from './expiry-look.ts'
import { lookAtStream, type StreamLook } from './lane-look.ts'
import { LettersLook } from './letters-look.ts'
import { ModelMemory, modelAlert } from './models.ts'
import { MAX_OPEN, noticeAlert, reviewNotices, scanNotices } from './notices.ts'
import { judgeOrphans, type OrphanMemory } from './orphans.ts'
import { positionIn } from './position.ts'
import { RegisterLook } from './register-look.ts'
import { isWhole, partly, ReplicaMemory } from './replica-look.ts'
import { resetConsumer } from './reset.ts'
import { SilentRemovals } from './silent-removals.ts'
import { judgeService, type UnservedPool, unservedAlert } from './unserved.ts'

/** When what the watch sees becomes an alert. */
export interface WatchLimits {
  /** How long a pool may stand still before it is an alert, milliseconds. */
  readonly unservedMs: number
  /** How old a failure notice must be before its dead letter is looked for, milliseconds. */
  readonly noticeGraceMs: number
  /** The resend horizon: how late a producer may send an event again with the same id, milliseconds. */
  readonly resendMs: number
  /** Until when this control service is let in. @default without an end */
  readonly expiries?: () => readonly Expiry[]
}

export interface LookDeps {
  readonly store: OpsStore
  /** What the pools have. */
  readonly pools: Pick<AllPools, 'read'>
  readonly log: Logger
  /** Writes the record down at once. False: another control service watches now, and nothing may be done. */
  readonly keep: (record: WatchRecord) => Promise<boolean>
}

/** What one look saw and did. */
export interface Looked {
  /** The record as it is to be kept. */
  readonly record: WatchRecord
  readonly streams: readonly StreamLook[]
  /** Every stream and lane with the servers that hold it. */
  readonly groups: readonly ReplicaGroup[]
  /** Age of the oldest event that waits, milliseconds; 0 when none does. */
  readonly oldestEventMs: number
  /** Dead letters whose event has a prediction by a replay, found by this look. */
  readonly superseded: number
}

/** Read at most in one look: the first look at 5 million results must not stop the others. */
const RESULTS_A_LOOK = 50_000

/** Looks, one after the other: each remembers what the one before saw. */
export class Looks {
  readonly #deps: LookDeps
  readonly #limits: WatchLimits & { readonly name: string }
  readonly #marking = new Marking()
  #orphans: ReadonlyMap<string, OrphanMemory> = new Map()
  #standing: ReadonlyMap<string, number> = new Map()
  readonly #removals = new SilentRemovals()
  readonly #models = new ModelMemory()
  readonly #replicas = new ReplicaMemory()
  /** The last look at which everything was led. */
  #whole: Omit<Looked, 'record' | 'groups'> = { streams: [], oldestEventMs: 0, superseded: 0 }
  readonly #letters: LettersLook
  readonly #register: RegisterLook

  constructor(deps: LookDeps, limits: WatchLimits & { readonly name: string }) {
    this.#deps = deps
    this.#limits = limits
    this.#letters = new LettersLook(deps, limits.name)
    this.#register = new RegisterLook(limits.resendMs)
  }

  /**
   * Looks once, mends what can be mended, and says what was found.
   *
   * @throws PeltonError `broker-unavailable`, `not-provisioned`
   */
  async look(before: WatchRecord): Promise<Looked> {
    const { connection } = this.#deps.store
    const broker = await lookAtBroker(connection)
    const troubles = this.#replicas.judge(broker)
    if (!isWhole(broker))
      return { ...this.#whole, groups: broker.groups, record: partly(before, broker, troubles) }
    const streams = await lookAtWorkQueues(connection, broker)
    const at = Math.max(...streams.map((stream) => stream.at))
    const mended = await this.#mend(streams, before, at)
    const service = judgeService(this.#standing, streams, this.#limits.unservedMs)
    this.#standing = service.since
    const notices = await this.#lookAtNotices(before, at, broker.infos.get(STREAMS.results))
    await letGoOfEnded(this.#deps.store)
    const letters = await this.#letters.look(broker.infos.get(STREAMS.deadLetters), before, at)
    const removals = await this.#lookAtRemovals(at)
    const lanes = firstOfEachKind([...troubles, ...mended.alerts])
    const others = [
      ...notices.alerts,
      ...letters.alerts,
      ...this.#register.look(broker),
      ...expiryAlerts(this.#limits.name, this.#limits.expiries?.() ?? [], at),
      ...(await this.#alertsOfService(service.unserved, at)),
    ]
    const alerts = [...lanes.kept, ...lanes.rest, ...others]
    const time = new Date(at).toISOString()
    const record: WatchRecord = {
      ...before,
      at: time,
      results: notices.position,
      openNotices: notices.open,
      deadLetters: letters.position,
      unexplained: letters.unexplained,
      ...this.#mark(streams, before),
      alerts: carryOn(before.alerts, alerts, time),
      acts: [...before.acts, ...mended.done, ...letters.done, ...removals],
    }
    const oldestEventMs = (await oldestOf(connection, STREAMS.features, subjects.allFeatures(), at)) ?? 0
    this.#whole = { streams, oldestEventMs, superseded: letters.found }
    return { record, groups: broker.groups, ...this.#whole }
  }

  /** Pools and models that nobody serves. */
  async #alertsOfService(unserved: readonly UnservedPool[], at: number): Promise<readonly NewAlert[]> {
    const pools = firstOfEachKind(unserved)
    const alerts = await unservedAlerts(this.#deps.store.connection, pools.kept, at)
    const models = firstOfEachKind(await this.#lookAtModels())
    return [...alerts, ...pools.rest, ...models.kept, ...models.rest]
  }

  /** Resets consumers with orphans. It is written down first: whatever ends the process, no reset is forgotten. */
  async #mend(streams: readonly StreamLook[], before: WatchRecord, at: number) {
    const { store, log, keep } = this.#deps
    const earlier = before.acts.filter((act): act is ConsumerReset => act.what === 'consumer-reset')
    const lanes = streams.flatMap((stream) => stream.lanes)
    const judged = judgeOrphans(this.#orphans, lanes, earlier, at)
    this.#orphans = judged.memory
    const done: ConsumerReset[] = []
    for (const { stream, consumer, orphans, inFlight } of judged.resets) {
      const facts = { stream, consumer, orphans, inFlight }
      done.push({
        what: 'consumer-reset',
        at: new Date(at).toISOString(),
        by: this.#limits.name,
        ...facts,
      })
      if (!(await keep({ ...before, acts: [...before.acts, ...done] }))) break
      await resetConsumer(store.connection, stream, consumer)
      log.warn(facts, 'reset a consumer: workers get its events again, also those they hold')
    }
    return { alerts: judged.alerts, done }
  }

  async #lookAtNotices(before: WatchRecord, at: number, info: StreamInfo | undefined) {
    const { store } = this.#deps
    const position = positionIn(info, before.results)
    const room = MAX_OPEN - before.openNotices.length
    const isNew = info !== undefined && info.state.last_seq >= position.next && room > 0
    const olderThan = at - this.#limits.noticeGraceMs
    const scan = isNew
      ? await scanNotices(store.connection, position.next, { olderThan, atMost: RESULTS_A_LOOK, room })
      : { next: position.next, found: [] }
    const open = await reviewNotices(store, [...before.openNotices, ...scan.found])
    const alert = noticeAlert(open)
    return {
      position: { ...position, next: scan.next },
      open,
      alerts: alert === undefined ? [] : [alert],
    }
  }

  async #lookAtModels(): Promise<readonly NewAlert[]> {
    const { store, pools } = this.#deps
    return this.#models.still(await unservedModels(store.connection, pools)).map(modelAlert)
  }

  /** How far FEATURES has come: an audit tells by it what had been accepted when. */
  #mark(streams: readonly StreamLook[], before: WatchRecord): Pick<WatchRecord, 'features'> {
    const seen = streams.find(({ stream }) => stream === STREAMS.features)
    if (seen === undefined) return {}
    return { features: this.#marking.add(before.features, seen.epoch, [seen.at, seen.lastSequence]) }
  }

  async #lookAtRemovals(at: number): Promise<RemovalEnded[]> {
    const { store, log } = this.#deps
    const by = this.#limits.name
    const ended = await this.#removals.end(store, by).catch((error: unknown) => {
      log.warn(
        { err: error },
        'a discard or purge whose process is gone could not be ended; it is tried again',
      )
      return []
    })
    for (const facts of ended) log.warn(facts, 'ended a discard or purge whose process is gone')
    const time = new Date(at).toISOString()
    return ended.map((facts) => ({ what: 'removal-ended', at: time, by, ...facts }))
  }
}

async function lookAtWorkQueues(connection: NatsConnection, broker: BrokerLook): Promise<StreamLook[]> {
  const features = await lookAtStream(connection, STREAMS.features, broker)
  const retries = await lookAtStream(connection, STREAMS.retries, broker)
  const seen = [features, retries].filter((stream) => stream !== undefined)
  if (seen.length > 0) return seen
  const [one, other] = [STREAMS.features, STREAMS.retries].map(namesOf(connection).stream)
  throw new PeltonError('not-provisioned', `neither ${one} nor ${other} can be looked at`, {
    remedy: 'Run `pelton provision`, or `pelton up`, once.',
  })
}

async function unservedAlerts(
  connection: NatsConnection,
  pools: readonly UnservedPool[],
  at: number,
): Promise<readonly NewAlert[]> {
  const ages = new Map<UnservedPool, number | undefined>()
  await inParallel(pools, async (pool) => ages.set(pool, await ageOf(connection, pool, at)))
  return pools.map((pool) => unservedAlert(pool, ages.get(pool)))
}

async function ageOf(
  connection: NatsConnection,
  { where }: UnservedPool,
  at: number,
): Promise<number | undefined> {
  const ages = await Promise.all(where.map(({ stream, filter }) => oldestOf(connection, stream, filter, at)))
  const known = ages.filter((age) => age !== undefined)
  return known.length === 0 ? undefined : Math.max(...known)
}

/** Age of the first message under a filter, milliseconds. */
async function oldestOf(
  connection: NatsConnection,
  stream: string,
  filter: string,
  at: number,
): Promise<number | undefined> {
  const asked = { seq: 1, next_by_subj: filter }
  const reply = await findApi<{ readonly message: { readonly time: string } }>(
    connection,
    `STREAM.MSG.GET.${stream}`,
    NOT_FOUND.message,
    asked,
  )
  return reply === undefined ? undefined : Math.max(0, at - Date.parse(reply.message.time))
}
