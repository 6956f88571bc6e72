import { setTimeout as sleep } from 'node:timers/promises'
import { type NatsConnection, PermissionViolationError, type Status } from '@nats-io/transport-node'
import type { ConnectionCause } from './connection-cause.ts'

/** Something between a client and its broker that its operator should know. */
export interface ConnectionTrouble extends ConnectionCause {
  /**
   * `away`: there is no connection now. `file`: what a file should say at a connect cannot be read; what it said before is used.
   * `refused`: the broker refuses a subject.
   */
  readonly kind: 'away' | 'file' | 'refused'
}

export type OnTrouble = (trouble: ConnectionTrouble) => void

const causes = new WeakMap<NatsConnection, ConnectionCause>()

/** Why a connection is away; undefined while it is there, and as long as nothing is known. */
export function whyAway(connection: NatsConnection): ConnectionCause | undefined {
  return causes.get(connection)
}

interface Refusal {
  readonly text: string
  readonly atMs: number
}

const refusals = new WeakMap<NatsConnection, Refusal>()

/** What the broker last refused to take from a connection, where that was within `withinMs` milliseconds. */
export function refusedLately(connection: NatsConnection, withinMs: number): string | undefined {
  const last = refusals.get(connection)
  return last !== undefined && performance.now() - last.atMs <= withinMs ? last.text : undefined
}

export interface TroubleOptions {
  /** Connects as the connection would, once, and says why that fails; undefined where it does not. */
  readonly findCause: () => Promise<ConnectionCause | undefined>
  readonly explain: (thrown: unknown) => ConnectionCause
  readonly onTrouble?: OnTrouble | undefined
}

/** A broker that restarts is back by then, and no word is needed, milliseconds. */
const FIRST_LOOK_MS = 1_000
/** Between two looks, milliseconds. */
const LOOK_MS = 5_000
/** Sentences that are remembered as told. */
const MOST_TOLD = 100

/**
 * The client reconnects for ever and in silence: while it is away, this looks why, and tells it once. Ends with the
 * connection.
 */
export function followTrouble(connection: NatsConnection, options: TroubleOptions): void {
  const { onTrouble = () => undefined, explain } = options
  const told = new Set<string>()
  let looking: AbortController | undefined

  function tell(kind: ConnectionTrouble['kind'], cause: ConnectionCause, about = cause.text): void {
    if (told.has(about) || told.size >= MOST_TOLD) return
    told.add(about)
    onTrouble({ kind, ...cause })
  }
  function refused(error: PermissionViolationError): void {
    const cause = explain(error)
    if (error.operation === 'publish') refusals.set(connection, { text: cause.text, atMs: performance.now() })
    // Many subjects are of one event each: a right is missing for all of them, and told once.
    const words = error.subject.split('.').slice(0, error.subject.startsWith('$') ? 4 : 2)
    tell('refused', cause, `${error.operation} ${words.join('.')}`)
  }
  async function look(signal: AbortSignal): Promise<void> {
    for (let pauseMs = FIRST_LOOK_MS; !signal.aborted; pauseMs = LOOK_MS) {
      await sleep(pauseMs, undefined, { signal, ref: false })
      const cause = await options.findCause()
      if (signal.aborted) return
      if (cause === undefined) continue // it is let in: so is the client, at its next try
      causes.set(connection, cause)
      tell('away', cause)
    }
  }
  function follow(status: Status): void {
    if (status.type === 'disconnect' || status.type === 'staleConnection') {
      if (looking !== undefined) return
      looking = new AbortController()
      look(looking.signal).catch(() => undefined) // ended
    } else if (status.type === 'reconnect' || status.type === 'close') {
      looking?.abort()
      looking = undefined
      causes.delete(connection)
      if (status.type === 'reconnect') told.clear()
    } else if (status.type === 'error') {
      if (status.error instanceof PermissionViolationError) refused(status.error)
      else tell('away', explain(status.error))
    }
  }
  const run = async (): Promise<void> => {
    for await (const status of connection.status()) follow(status)
    looking?.abort()
  }
  void run()
}
