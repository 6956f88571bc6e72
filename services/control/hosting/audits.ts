import type { NatsConnection } from '@nats-io/transport-node'
import { type Audited, type AuditOptions, audit } from '../../../shared/operations/audit/audit.ts'
import type { Floor } from '../../../shared/operations/audit/floor.ts'
import type { Outside } from '../../../shared/operations/audit/outside.ts'
import type { AuditReport } from '../../../shared/operations/audit/report.ts'
import { type StatusSnapshot, takeSnapshot } from '../../../shared/operations/broker/snapshot.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'

/** The latest snapshot, taken again when it is older than a second. */
export interface Snapshots {
  latest(): Promise<{ readonly before: StatusSnapshot | undefined; readonly now: StatusSnapshot }>
}

/** Audits, one at a time. */
export interface Audits {
  /** For an operator who asks; waits for one that runs by itself. @throws PeltonError `conflict` while another asks */
  run(options: { readonly deep: boolean; readonly full: boolean }): Promise<AuditReport>
  /** A shallow one, from the floor or where the last clean one by itself ended; undefined while another runs. */
  runByItself(): Promise<AuditReport | undefined>
  /** The last one this process ran, and when it ended, milliseconds since 1970. */
  readonly last: { readonly report: AuditReport; readonly endedAt: number } | undefined
  /** The last one says nothing any more. */
  forget(): void
}

/** So often an audit by itself begins at the signed-off floor: nothing may be hidden for ever by a later start. */
const WHOLE_EVERY_MS = 24 * 3_600_000

/**
 * @param signal ends the pauses of an audit early: what it then finds is not kept
 * @param outside where audits learn what the broker may have forgotten
 * @param now milliseconds, of a clock that is never set
 */
export function createAudits(
  connection: NatsConnection,
  signal: AbortSignal,
  outside: () => Promise<Outside> = async () => ({}),
  now: () => number = () => performance.now(),
): Audits {
  let running: Promise<unknown> | undefined
  let isAsked = false
  let last: Audits['last']
  /** What the last clean audit by itself would have signed off. */
  let since: Floor | undefined
  let wholeAt = Number.NEGATIVE_INFINITY
  const begin = (options: Omit<AuditOptions, 'signal'>): Promise<Audited> => {
    const ended = outside()
      .then((known) => audit(connection, { ...options, outside: known, signal }))
      .then((audited) => {
        if (!signal.aborted) last = { report: audited.report, endedAt: Date.now() }
        return audited
      })
      .finally(() => {
        running = undefined
      })
    running = ended
    return ended
  }
  return {
    get last() {
      return last
    },
    async run(options) {
      if (isAsked)
        throw new PeltonError('conflict', 'an audit runs already', {
          remedy: 'Ask again when it has ended: it reads the whole ledger.',
        })
      isAsked = true
      try {
        await running?.catch(() => undefined) // one by itself is no reason to refuse: it is shallow
        return (await begin(options)).report
      } finally {
        isAsked = false
      }
    },
    async runByItself() {
      if (isAsked || running !== undefined) return undefined
      const begunAt = now()
      const isWhole = since === undefined || begunAt - wholeAt >= WHOLE_EVERY_MS
      const { report, floor } = await begin(isWhole || since === undefined ? {} : { since })
      if (isWhole) wholeAt = begunAt
      if (report.clean) since = floor // what is lost or unproven is found again from where the last clean one ended
      return report
    },
    forget() {
      last = undefined
      since = undefined
    },
  }
}

const FRESH_MS = 1_000

/** Snapshots on demand: requests that come at once share one. */
export function createSnapshots(connection: NatsConnection): Snapshots {
  let taken: ReturnType<Snapshots['latest']> | undefined
  let takenAt = Number.NEGATIVE_INFINITY
  return {
    latest() {
      if (taken !== undefined && performance.now() - takenAt < FRESH_MS) return taken
      const earlier = taken
      takenAt = performance.now()
      const fresh = takeSnapshot(connection).then(async (now) => ({
        before: (await earlier?.catch(() => undefined))?.now,
        now,
      }))
      taken = fresh
      fresh.catch(() => {
        if (taken === fresh) taken = undefined
      })
      return fresh
    },
  }
}
