import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { audit } from '../audit/audit.ts'
import type { AuditReport } from '../audit/report.ts'
import { takeSnapshot } from '../status/snapshot.ts'
import type { Audits, Snapshots } from './parts.ts'

/** @param signal ends the pauses of an audit early: what it then finds is not kept */
export function createAudits(connection: NatsConnection, signal: AbortSignal): Audits {
  let running: Promise<unknown> | undefined
  let isAsked = false
  let last: Audits['last']
  const begin = (options: { readonly deep: boolean; readonly full: boolean }): Promise<AuditReport> => {
    const ended = audit(connection, { ...options, signal })
      .then(({ report }) => {
        if (!signal.aborted) last = { report, endedAt: Date.now() }
        return report
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
        return await begin(options)
      } finally {
        isAsked = false
      }
    },
    runByItself: async () =>
      isAsked || running !== undefined ? undefined : begin({ deep: false, full: false }),
    forget() {
      last = undefined
    },
  }
}

const FRESH_MS = 1_000

/** Snapshots on demand: many who ask at once share one. */
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
