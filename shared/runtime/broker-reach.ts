import type { NatsConnection } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { PeltonError } from '../sdk/errors.ts'
import { type OnTrouble, whyAway } from '../sdk/jetstream/trouble.ts'

/** Whether a connection reaches its broker at the moment. */
export interface BrokerReach {
  readonly isReachable: boolean
  /** Why it does not, once that is known. */
  readonly whyAway: string | undefined
}

/** Why a service without a connection is not ready, in one line. */
export function noConnection(reach: Pick<BrokerReach, 'whyAway'> | undefined): string {
  const why = reach?.whyAway
  return `broker: no connection${why === undefined ? '' : `: ${why}`}`
}

const TROUBLES = {
  away: 'no connection to the broker',
  file: 'what the broker is told of this process cannot be read; what was read before is used',
  refused: 'the broker refuses this user something',
} as const

/** Writes down what is in the way of a connection, each thing once. */
export function tellTrouble(log: Pick<Logger, 'warn'>): OnTrouble {
  return ({ kind, text, remedy }) => log.warn({ reason: text, remedy }, TROUBLES[kind])
}

/** The same for a person at a terminal; what is refused is said by what asked for it. */
export function noteTrouble(note: (text: string) => void): OnTrouble {
  return ({ kind, text, remedy }) => {
    if (kind !== 'refused') note(`broker: ${TROUBLES[kind]}: ${text}. ${remedy}`)
  }
}

/** Follows a connection: it comes back by itself, and says so. Once it is closed, it stays out of reach. */
export function followBroker(connection: NatsConnection): BrokerReach {
  const reach = {
    isReachable: !connection.isClosed(),
    get whyAway() {
      return whyAway(connection)?.text
    },
  }
  const follow = async (): Promise<void> => {
    for await (const { type } of connection.status()) {
      if (type === 'disconnect' || type === 'staleConnection' || type === 'close') reach.isReachable = false
      if (type === 'reconnect') reach.isReachable = true
    }
    reach.isReachable = false
  }
  void follow()
  return reach
}

/**
 * Waits for the end of a connection: resolves after a close of ours.
 *
 * @throws PeltonError `broker-unavailable` when the connection is lost for good
 */
export async function closedForGood(connection: NatsConnection): Promise<void> {
  const cause = await connection.closed()
  if (cause === undefined) return
  throw new PeltonError('broker-unavailable', 'the connection to the broker is closed for good', {}, cause)
}

/** A broker that restarts is back sooner, milliseconds. */
const AWAY_MS = 2_000

/**
 * Waits for the last words to a broker, and no longer once it has been away for two seconds: they would wait for it as
 * patiently as everything else does.
 */
export async function unlessAway(
  reach: Pick<BrokerReach, 'isReachable'>,
  lastWords: Promise<unknown>,
): Promise<void> {
  let reachedAt = performance.now()
  let timer: NodeJS.Timeout | undefined
  const away = new Promise<void>((resolve) => {
    timer = setInterval(() => {
      if (reach.isReachable) reachedAt = performance.now()
      else if (performance.now() - reachedAt >= AWAY_MS) resolve()
    }, AWAY_MS / 20)
  })
  await Promise.race([lastWords, away]).finally(() => clearInterval(timer))
}

/** Ends a connection once the broker has what was sent. One that is away is given up: nothing would be told to it. */
export async function leaveBroker(connection: NatsConnection): Promise<void> {
  if (!connection.isClosed()) await connection.drain().catch(() => connection.close())
}
