import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { audit } from '../audit/audit.ts'
import { takeSnapshot } from '../status/snapshot.ts'
import type { Audits, Snapshots } from './parts.ts'

/** @param signal ends the pauses of an audit early */
export function createAudits(connection: NatsConnection, signal: AbortSignal): Audits {
  let isRunning = false
  let last: Audits['last']
  return {
    get last() {
      return last
    },
    async run(options) {
      if (isRunning)
        throw new PeltonError('conflict', 'an audit runs already', {
          remedy: 'Ask again when it has ended: it reads the whole ledger.',
        })
      isRunning = true
      try {
        const { report } = await audit(connection, { ...options, signal })
        last = { report, endedAt: Date.now() }
        return report
      } finally {
        isRunning = false
      }
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
