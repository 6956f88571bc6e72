import type { ModelRepository } from '../../../shared/models/repository.ts'
import type { PoolModels } from '../../../shared/operations/models/pool-models.ts'
import { type Labels, type Meters, openMeters } from '../../../shared/runtime/meters.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Backlog } from '../intake/backlog.ts'
import type { WorkerLoad } from '../intake/room.ts'
import type { UnservedFacts } from './readiness.ts'

export interface WorkerGaugesOptions {
  readonly worker: {
    readonly load: WorkerLoad
    readonly backlog: Pick<Backlog, 'read'>
    /** Streams that do not take what there is to store, each with a reason. */
    readonly refusing: ReadonlyMap<string, string>
    /** Why nothing is pulled although all do: the ledger is nearly full. */
    readonly ledgerStops: string | undefined
    readonly unserved: UnservedFacts
  }
  readonly models: Pick<ModelRepository, 'models'>
  /** What the pool remembers of its models. */
  readonly pool: Pick<PoolModels, 'all'>
  readonly skewMs: () => number
}

/** Streams whose refusal stops a worker. */
const STORED_IN = [STREAMS.results, STREAMS.deadLetters, STREAMS.ledger]

/** What is looked up when somebody reads the metrics, and costs nothing in between. */
export function openWorkerGauges({ worker, models, pool, skewMs }: WorkerGaugesOptions): void {
  const { gauge } = openMeters('worker')
  gauge('inFlightRows', (report) => report(worker.load.rows))
  gauge('inFlightBytes', (report) => report(worker.load.bytes))
  gauge('capacityRows', (report) => report(worker.load.capacity.rows))
  gauge('capacityBytes', (report) => report(worker.load.capacity.bytes))
  gauge('heldEvents', (report) => report(worker.load.events))
  gauge('clockSkew', (report) => report(skewMs() / 1_000))
  gauge('modelInfo', (report) => {
    for (const { name: model, version } of models.models) report(1, { model, version })
  })
  gauge('modelTimedOut', (report) => {
    for (const { model, apart } of pool.all()) if (apart !== undefined) report(apart.inARow, { model })
  })
  gaugeUntilOver(gauge, 'modelBreaker', () =>
    [...pool.all()].flatMap(({ model, breaker }) => (breaker === undefined ? [] : [[1, { model }] as const])),
  )
  gauge('storageRefusing', (report) => {
    const { refusing, ledgerStops } = worker
    const stops = (stream: string): boolean =>
      refusing.has(stream) || (stream === STREAMS.ledger && ledgerStops !== undefined)
    for (const stream of new Set([...STORED_IN, ...refusing.keys()]))
      report(stops(stream) ? 1 : 0, { stream_name: stream })
  })
  gaugeUntilOver(gauge, 'modelNotServable', () =>
    worker.unserved.models.map(({ model, cause }) => [1, { model, cause }]),
  )
  gaugeUntilOver(gauge, 'modelWaiting', () =>
    worker.unserved.waiting.map(({ model, cause, place, events }) => [events, { model, cause, place }]),
  )
  gaugeUntilOver(gauge, 'laneStanding', () =>
    worker.unserved.lanes.map((lane) => [1, { consumer_name: lane }]),
  )
  gauge('backlogRows', (report) => {
    for (const { lane, rows } of worker.backlog.read(performance.now())) report(rows, { lane })
  })
  gauge('backlogDuration', (report) => {
    for (const { lane, seconds } of worker.backlog.read(performance.now())) report(seconds, { lane })
  })
}

/** Reports what is so, and 0 for what was so before: a series that only ends would keep an alert up for five minutes. */
function gaugeUntilOver(
  gauge: Meters['gauge'],
  key: Parameters<Meters['gauge']>[0],
  read: () => readonly (readonly [value: number, labels: Labels])[],
): void {
  const seen = new Map<string, Labels>()
  gauge(key, (report) => {
    const now = new Set<string>()
    for (const [value, labels] of read()) {
      const name = JSON.stringify(labels)
      now.add(name)
      seen.set(name, labels)
      report(value, labels)
    }
    for (const [name, labels] of seen) if (!now.has(name)) report(0, labels)
  })
}
