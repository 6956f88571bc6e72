import type { Logger } from 'pino'

/**
 * How long a service that starts waits for a leader, milliseconds. A quorum that is lost is back by then, or somebody has been
 * called; whoever starts the service again gives it more time.
 */
export const SERVICE_PATIENCE_MS = 300_000

/**
 * How a service that starts waits for a broker that elects a leader: five minutes for each thing it asks, with a line in its
 * log that says what for.
 *
 * @param stopping ends the wait
 */
export function waitingFor(log: Logger, stopping: AbortSignal) {
  return {
    patienceMs: SERVICE_PATIENCE_MS,
    onWait: (reason: string) => log.warn({ reason }, 'waiting for the broker'),
    signal: stopping,
  }
}
