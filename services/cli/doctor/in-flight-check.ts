import type { NatsConnection } from '@nats-io/transport-node'
import { listConsumers } from '../../../shared/operations/broker/consumer-list.ts'
import { type Finding, warn } from '../../../shared/operations/broker/finding.ts'
import { followAllPools, type SeenPool } from '../../../shared/operations/models/all-pools.ts'
import { readSettings } from '../../../shared/runtime/config.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { showValue } from '../../../shared/sdk/errors.ts'
import { WORKER_SETTINGS } from '../../worker/config.ts'

/** Room for workers that come and go, so that a setting holds for a while. */
const SPARE = 1.25
/** What is asked for is a multiple of this. */
const STEP = 1_000

/**
 * Whether the lanes of each pool let all of its living workers hold what they may: a lane that does not leaves some of them idle
 * under load. Says nothing where all is well.
 *
 * @param env of the workers, as far as it is that of this command: `PELTON_HELD_ROWS`
 */
export async function checkInFlight(
  connection: NatsConnection,
  env: NodeJS.ProcessEnv,
): Promise<readonly Finding[]> {
  const { PELTON_HELD_ROWS } = WORKER_SETTINGS
  const { PELTON_HELD_ROWS: heldEach } = readSettings({ PELTON_HELD_ROWS }, env)
  const pools = followAllPools(connection)
  try {
    await pools.ready
    const consumers = await listConsumers(connection, STREAMS.features)
    const most = new Map(consumers.map(({ name, config }) => [name, Number(config.max_ack_pending ?? -1)]))
    return judgeInFlight(pools.read(), most, heldEach)
  } finally {
    await pools.close()
  }
}

/**
 * Pure.
 *
 * @param most `max_ack_pending` of consumers, by name; none, or one that is not above 0, is no limit
 * @param heldEach events that a worker may hold
 */
export function judgeInFlight(
  pools: readonly Pick<SeenPool, 'pool' | 'workers'>[],
  most: ReadonlyMap<string, number>,
  heldEach: number,
): readonly Finding[] {
  return pools.flatMap(({ pool, workers }) => {
    const limits = LANES.map((lane) => most.get(featureConsumer(pool, lane).durable_name) ?? -1)
    const least = Math.min(...limits.filter((limit) => limit > 0))
    const held = workers.length * heldEach
    return held <= least ? [] : [tooFew(pool, workers.length, held, least)]
  })
}

function tooFew(pool: string, workers: number, held: number, least: number): Finding {
  const wanted = Math.ceil((SPARE * held) / STEP) * STEP
  return warn(
    `pool ${showValue(pool)}`,
    `its ${showCount(workers)} workers may hold ${showCount(held)} events, and a lane has ${showCount(least)} in flight at most: some of them idle under load`,
    `Set PELTON_MAX_ACK_PENDING to ${wanted} or more and run \`pelton provision\`, then restart the workers.`,
  )
}
