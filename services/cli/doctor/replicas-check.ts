import type { NatsConnection } from '@nats-io/transport-node'
import { lookAtBroker } from '../../../shared/operations/broker/broker-look.ts'
import { type Finding, fail, ok, warn } from '../../../shared/operations/broker/finding.ts'
import { judgeReplicas, type ReplicaGroup } from '../../../shared/operations/broker/replicas.ts'
import { pause } from '../../../shared/runtime/pause.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'

/** Between two looks, where the first finds what may pass. */
const SAMPLE_MS = 1_500

/** Whether every server that holds a stream is there, every stream and consumer led, and every replica up to date. */
export async function checkReplicas(
  connection: NatsConnection,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const first = (await lookAtBroker(connection)).groups
  if (judgeReplicas(first, first).length === 0) return [allWell(first)]
  await pause(SAMPLE_MS, signal)
  const second = (await lookAtBroker(connection)).groups
  const found = judgeReplicas(first, second)
  if (found.length === 0) return [allWell(second)]
  return found.map(({ kind, text, remedy }) =>
    kind === 'no-leader' ? fail('servers', text, remedy) : warn('servers', text, remedy),
  )
}

function allWell(groups: readonly ReplicaGroup[]): Finding {
  const servers = new Set(
    groups.flatMap(({ leader, replicas }) => [leader, ...replicas.map((one) => one.server)]),
  )
  if (servers.size < 2) return ok('servers', 'one holds everything, and is there')
  return ok('servers', `all ${showCount(servers.size)} that hold replicas are there and up to date`)
}
