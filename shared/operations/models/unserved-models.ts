import type { NatsConnection } from '@nats-io/transport-node'
import { subjects } from '../../sdk/contract/subjects.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { countSubjects } from '../broker/snapshot.ts'
import { type AllPools, followAllPools, type SeenPool } from './all-pools.ts'
import { describeBreaker } from './breaker.ts'
import type { ModelRecord } from './model-record.ts'

/** A model that not every living worker of its pool can serve, or that none runs because it fails on everything. */
export interface UnservedModel {
  readonly pool: string
  readonly model: string
  /** Living workers that serve it, of how many there are in its pool. */
  readonly serving: number
  readonly workers: number
  /** What those that do not serve it say, each reason once; first why it is not run. */
  readonly reasons: readonly string[]
  /** Whether it fails on everything: its breaker is open. */
  readonly isBroken: boolean
  /** Its events that wait for their time in RETRIES: those that are parked, and those that are tried again. */
  readonly waiting: number
}

/** Models that some living worker of their pool cannot serve, or none may run; without `waiting`. A pool without workers has none. Pure. */
export function judgeModels({ pool, workers, records }: SeenPool): Omit<UnservedModel, 'waiting'>[] {
  return records.flatMap((record) => {
    const serving = workers.filter((worker) => (record.serving[worker]?.versions.length ?? 0) > 0)
    const { model, breaker } = record
    const isBroken = breaker !== undefined && workers.length > 0
    const isServed = serving.length === workers.length
    if (isServed && !isBroken) return []
    const reasons = [
      ...(isBroken ? [describeBreaker(breaker)] : []),
      ...(isServed ? [] : reasonsOf(record, workers)),
    ]
    return [{ pool, model, serving: serving.length, workers: workers.length, reasons, isBroken }]
  })
}

function reasonsOf({ refusing }: ModelRecord, workers: readonly string[]): string[] {
  const said = workers.flatMap((worker) => {
    const refusal = refusing[worker]
    return refusal === undefined ? [] : [refusal.reason]
  })
  return said.length === 0 ? ['it is not in the models folder'] : [...new Set(said)]
}

/** Subjects read to count what waits for a model: beyond 100,000 the count is what was read. */
const PAGES = 1

/** The models that not every living worker of their pool can serve, or none may run; those that nobody serves first. */
export async function unservedModels(
  connection: NatsConnection,
  pools: Pick<AllPools, 'read'>,
): Promise<readonly UnservedModel[]> {
  const found = pools.read().flatMap(judgeModels)
  const counted: UnservedModel[] = []
  for (const one of found) {
    const filter = subjects.retryFilter(one.pool, one.model)
    const { counts } = await countSubjects(connection, STREAMS.retries, filter, PAGES)
    counted.push({ ...one, waiting: counts.size })
  }
  return counted.sort((one, other) => one.serving - other.serving || other.waiting - one.waiting)
}

/** Reads once. @throws PeltonError `not-provisioned`, `broker-unavailable` */
export async function readUnservedModels(connection: NatsConnection): Promise<readonly UnservedModel[]> {
  const pools = followAllPools(connection)
  try {
    await pools.ready
    return await unservedModels(connection, pools)
  } finally {
    await pools.close()
  }
}
