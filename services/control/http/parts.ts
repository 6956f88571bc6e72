import type { FastifyReply } from 'fastify'
import { stringify } from 'lossless-json'
import type { Logger } from 'pino'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import type { Audits, Snapshots } from '../hosting/audits.ts'
import type { HostedReplays } from '../hosting/hosted-replays.ts'
import type { KeptCounts } from '../hosting/kept-counts.ts'
import type { Watch } from '../watch/watch.ts'

/** What the routes work with once the broker is there. */
export interface ApiParts {
  readonly store: OpsStore
  readonly counts: Pick<KeptCounts, 'groups'>
  readonly watch: Watch
  readonly replays: HostedReplays
  readonly snapshots: Snapshots
  readonly audits: Audits
  readonly log: Logger
  /** Aborted when the service stops: what is under way ends between two steps. */
  readonly signal: AbortSignal
}

/** @throws PeltonError `broker-unavailable` while there is no connection yet */
export type PartsOf = () => ApiParts

/** Answers with JSON whose numbers keep every digit. */
export function sendJson(reply: FastifyReply, value: unknown, status = 200): FastifyReply {
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('x-content-type-options', 'nosniff')
    .send(stringify(value) ?? 'null')
}
