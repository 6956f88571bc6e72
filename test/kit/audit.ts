import type { NatsConnection } from '@nats-io/transport-node'
import { expect } from 'vitest'
import { audit } from '../../shared/operations/audit/audit.ts'
import type { AuditReport } from '../../shared/operations/audit/report.ts'
import { eventually } from './wait.ts'

/** What `pelton audit --full --deep` finds. */
export async function deepAudit({
  connection,
}: {
  readonly connection: NatsConnection
}): Promise<AuditReport> {
  const { report } = await audit(connection, { full: true, deep: true, signal: new AbortController().signal })
  return report
}

/**
 * Every event has its outcome, in order, and soon none waits any more: an event is acknowledged, and its copy in RETRIES gone,
 * only after its outcome is there.
 */
export async function expectCleanAudit(stage: { readonly connection: NatsConnection }): Promise<void> {
  let waiting: readonly number[] = []
  await eventually(
    'nothing to wait any more',
    async () => {
      const report = await deepAudit(stage)
      expect(report.clean).toBe(true)
      waiting = [report.waiting, report.retries.waiting]
      return waiting.every((count) => count === 0)
    },
    { everyMs: 200, seen: () => waiting },
  )
}
