import type { NatsConnection } from '@nats-io/transport-node'
import { type ConsumerInfo, requestApi } from '../../sdk/jetstream/api.ts'

/** A consumer as the API lists it. */
export interface ListedConsumer extends ConsumerInfo {
  readonly name: string
  readonly num_redelivered: number
  readonly num_waiting: number
  /** Absent while it hands out. */
  readonly paused?: boolean
}

/** The consumers of a stream. */
export interface ConsumerList {
  readonly consumers: readonly ListedConsumer[]
  /** Names of those for whom no leader answered. */
  readonly unled: readonly string[]
}

/** Until when a consumer is paused, RFC 3339; undefined for one that hands out. */
export function pausedUntil({
  paused,
  config,
}: Pick<ListedConsumer, 'paused' | 'config'>): string | undefined {
  return paused === true ? String(config.pause_until ?? 'somebody resumes it') : undefined
}

/** How a paused consumer is made to hand out again. */
export function resumeRemedy(stream: string, consumer: string): string {
  return `Resume it: \`nats consumer resume ${stream} ${consumer}\`.`
}

/** Every consumer of a stream that has a leader. */
export async function listConsumers(
  connection: NatsConnection,
  stream: string,
): Promise<readonly ListedConsumer[]> {
  return (await listAllConsumers(connection, stream)).consumers
}

/** Every consumer of a stream, page by page, and the names of those without a leader. */
export async function listAllConsumers(connection: NatsConnection, stream: string): Promise<ConsumerList> {
  const consumers: ListedConsumer[] = []
  const unled: string[] = []
  for (let total = 1; consumers.length + unled.length < total; ) {
    const page = await requestApi<ConsumerPage>(connection, `CONSUMER.LIST.${stream}`, {
      offset: consumers.length + unled.length,
    })
    const found = page.consumers ?? []
    const silent = page.missing ?? []
    if (found.length + silent.length === 0) break
    consumers.push(...found)
    unled.push(...silent)
    total = page.total
  }
  return { consumers, unled }
}

interface ConsumerPage {
  readonly total: number
  readonly consumers?: ListedConsumer[] | null
  /** Those whose leaders did not answer within 4 s. */
  readonly missing?: string[] | null
}
