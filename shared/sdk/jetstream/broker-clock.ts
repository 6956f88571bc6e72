import type { NatsConnection } from '@nats-io/transport-node'
import { requestApi, type StreamInfo } from './api.ts'

/** Time by the broker: deadlines and schedules do not depend on this machine's clock. */
export interface BrokerClock {
  /** Milliseconds since 1970 by the broker's clock. */
  now(): number
  /** This machine's clock minus the broker's, milliseconds. */
  readonly skewMs: number
  close(): void
}

/**
 * Learns the broker's time from its answers, at once and then every `intervalMs`. The estimate assumes that the
 * answer was made half way through the round trip (Cristian 1989); between answers the monotonic clock counts.
 */
export async function createBrokerClock(
  connection: NatsConnection,
  stream: string,
  options: { readonly intervalMs?: number; readonly onInfo?: (info: StreamInfo) => void } = {},
): Promise<BrokerClock> {
  let brokerMinusMonotonic = 0

  async function learn(): Promise<void> {
    const sent = performance.now()
    const info = await requestApi<StreamInfo>(connection, `STREAM.INFO.${stream}`)
    const received = performance.now()
    brokerMinusMonotonic = Date.parse(info.ts) - (sent + received) / 2
    options.onInfo?.(info)
  }

  await learn()
  // A broker that does not answer now keeps its last known time; the next interval asks again.
  const timer = setInterval(() => void learn().catch(() => undefined), options.intervalMs ?? 10_000)
  timer.unref()
  return {
    now: () => performance.now() + brokerMinusMonotonic,
    get skewMs() {
      return Date.now() - (performance.now() + brokerMinusMonotonic)
    },
    close: () => clearInterval(timer),
  }
}
