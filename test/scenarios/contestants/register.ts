import { jetstream } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { tokenOfSubject } from '../../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'

/** The outcome of an event, as the register has it. */
export interface RegisterEntry {
  readonly kind: 'prediction' | 'dead-letter'
  /** By the wall clock, milliseconds since 1970. */
  readonly storedAt: number
}

/** Sequence of the last outcome. */
export async function lastOutcome(connection: NatsConnection): Promise<number> {
  return (await streamInfo(connection, STREAMS.results))?.state.last_seq ?? 0
}

/**
 * Outcomes by token that were stored after one, read past every reader of Pelton.
 *
 * @throws Error where an event has two
 */
export async function outcomesAfter(
  connection: NatsConnection,
  sequence: number,
): Promise<Map<string, RegisterEntry>> {
  const outcomes = new Map<string, RegisterEntry>()
  const last = await lastOutcome(connection)
  if (last <= sequence) return outcomes
  const names = namesOf(connection)
  const reader = await jetstream(connection).consumers.get(names.stream(STREAMS.results), {
    opt_start_seq: sequence + 1,
  })
  for await (const message of await reader.consume({ max_messages: 1_000 })) {
    const token = tokenOfSubject(names.plainSubject(message.subject))
    if (outcomes.has(token)) throw new Error(`an event has two outcomes: ${token}`)
    const kind = message.headers?.get(HEADERS.outcome) === 'prediction' ? 'prediction' : 'dead-letter'
    outcomes.set(token, { kind, storedAt: message.info.timestampNanos / 1e6 })
    if (message.seq >= last) break
  }
  await reader.delete()
  return outcomes
}
