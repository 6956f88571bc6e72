import type { NatsConnection } from '@nats-io/transport-node'
import { type Finding, ok, unknown, warn } from '../../../shared/operations/broker/finding.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { readControlWatch, unwatchedLine } from '../status/control-watch.ts'

/** Whether a control service looks: events are answered without one, and nobody says when something is wrong. */
export async function checkWatch(connection: NatsConnection): Promise<readonly Finding[]> {
  const info = await streamInfo(connection, STREAMS.features)
  if (info === undefined) return []
  const watch = await readControlWatch(connection, Date.parse(info.ts))
  if (watch === undefined)
    return [
      unknown('watch', 'its record cannot be read', 'Give this user the rights of control (infra/nats).'),
    ]
  if (watch.isWatched)
    return [ok('watch', `control service ${watch.watcher} watches, last at ${watch.lookedAt}`)]
  return [
    warn('watch', unwatchedLine(watch), 'Nobody says when something is wrong. docs/runbooks/unwatched.md'),
  ]
}
