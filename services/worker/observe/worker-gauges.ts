import type { ModelRepository } from '../../../shared/models/repository.ts'
import type { PoolModels } from '../../../shared/operations/models/pool-models.ts'
import { openMeters } from '../../../shared/runtime/meters.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { Backlog } from '../intake/backlog.ts'
import type { WorkerLoad } from '../intake/room.ts'

export interface WorkerGaugesOptions {
  readonly worker: {
    readonly load: WorkerLoad
    readonly backlog: Pick<Backlog, 'read'>
    /** Streams that do not take what there is to store, each with a reason. */
    readonly refusing: ReadonlyMap<string, string>
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
  gauge('storageRefusing', (report) => {
    const { refusing } = worker
    for (const stream of new Set([...STORED_IN, ...refusing.keys()]))
      report(refusing.has(stream) ? 1 : 0, { stream_name: stream })
  })
  gauge('backlogRows', (report) => {
    for (const { lane, rows } of worker.backlog.read(performance.now())) report(rows, { lane })
  })
  gauge('backlogDuration', (report) => {
    for (const { lane, seconds } of worker.backlog.read(performance.now())) report(seconds, { lane })
  })
}
