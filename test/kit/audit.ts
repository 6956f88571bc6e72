import type { NatsConnection } from '@nats-io/transport-node'
import { expect } from 'vitest'
import { audit } from '../../shared/operations/audit/audit.ts'
import type { AuditReport } from '../../shared/operations/audit/report.ts'

/** What `pelton audit --full --deep` finds. */
export async function deepAudit({
  connection,
}: {
  readonly connection: NatsConnection
}): Promise<AuditReport> {
  const { report } = await audit(connection, { full: true, deep: true, signal: new AbortController().signal })
  return report
}

/** Every event has its outcome, in order, and none waits any more. */
export async function expectCleanAudit(stage: { readonly connection: NatsConnection }): Promise<void> {
  const report = await deepAudit(stage)
  expect([report.clean, report.waiting, report.retries.waiting]).toEqual([true, 0, 0])
}
