import type { FastifyReply } from 'fastify'
import { stringify } from 'lossless-json'
import type { Logger } from 'pino'
import type { AuditReport } from '../audit/report.ts'
import type { KeptCounts } from '../dead-letters/kept-counts.ts'
import type { OpsStore } from '../dead-letters/store.ts'
import type { HostedReplays } from '../reconcile/hosted-replays.ts'
import type { Watch } from '../reconcile/watch.ts'
import type { StatusSnapshot } from '../status/snapshot.ts'

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

/** The latest snapshot, taken again when it is older than a second. */
export interface Snapshots {
  latest(): Promise<{ readonly before: StatusSnapshot | undefined; readonly now: StatusSnapshot }>
}

/** Audits, one at a time. */
export interface Audits {
  /** For somebody who asks; waits for one that runs by itself. @throws PeltonError `conflict` while another asks */
  run(options: { readonly deep: boolean; readonly full: boolean }): Promise<AuditReport>
  /** A shallow one, from the floor or where the last clean one by itself ended; undefined while another runs. */
  runByItself(): Promise<AuditReport | undefined>
  /** The last one this process ran, and when it ended, milliseconds since 1970. */
  readonly last: { readonly report: AuditReport; readonly endedAt: number } | undefined
  /** The last one says nothing any more. */
  forget(): void
}

/** Answers with JSON whose numbers keep every digit. */
export function sendJson(reply: FastifyReply, value: unknown, status = 200): FastifyReply {
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('x-content-type-options', 'nosniff')
    .send(stringify(value) ?? 'null')
}
