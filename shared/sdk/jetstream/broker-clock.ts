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

/** One look at the broker's clock, all in milliseconds. */
export interface ClockSample {
  /** Broker time minus the monotonic clock. */
  readonly offset: number
  /** The offset may be wrong by this: half the round trip. */
  readonly error: number
  /** When, by the monotonic clock. */
  readonly at: number
}

/** How fast two clocks may drift apart: what time services allow for (RFC 5905, 500 ppm). */
const DRIFT = 500e-6

/**
 * The better of two samples. A busy process sees round trips of seconds: such a sample counts only where it proves
 * that the broker's clock was set, or that another server answers.
 */
export function betterSample(known: ClockSample, fresh: ClockSample): ClockSample {
  const uncertainty = known.error + (fresh.at - known.at) * DRIFT
  const isOther = Math.abs(fresh.offset - known.offset) > fresh.error + uncertainty
  return fresh.error <= uncertainty || isOther ? fresh : known
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
  async function look(): Promise<ClockSample> {
    const sent = performance.now()
    const info = await requestApi<StreamInfo>(connection, `STREAM.INFO.${stream}`)
    const received = performance.now()
    options.onInfo?.(info)
    const offset = Date.parse(info.ts) - (sent + received) / 2
    return { offset, error: (received - sent) / 2, at: received }
  }

  let sample = await look()
  // A broker that does not answer now keeps its last known time; the next interval asks again.
  const lookAgain = async (): Promise<void> => {
    const fresh = await look()
    sample = betterSample(sample, fresh)
  }
  const timer = setInterval(() => void lookAgain().catch(() => undefined), options.intervalMs ?? 10_000)
  timer.unref()
  return {
    now: () => performance.now() + sample.offset,
    get skewMs() {
      return Date.now() - (performance.now() + sample.offset)
    },
    close: () => clearInterval(timer),
  }
}
