import { errors, type NatsConnection, PermissionViolationError } from '@nats-io/transport-node'

/**
 * What a server answered when it was asked for a leader: `well`, a leader that hears a majority of its copies; `deaf`, none, or
 * one that hears too few; `refused`, this user may not ask.
 */
export type ServerWord = 'well' | 'deaf' | 'refused'

/** How long one answer may take, milliseconds. */
const ANSWER_MS = 1_500

/** Copies say every second that they follow: one that has not for longer is not heard, nanoseconds. */
const SILENT_NANOS = 3e9

/** What is said of the copies of a stream; absent for a server that is alone. */
export interface CopiesOfStream {
  /** Absent where the group knows none: then whoever has a copy answers. */
  readonly leader?: string
  /** All but the leader's own; `active` is how long ago it was heard, nanoseconds, or 0 for never. */
  readonly replicas?: readonly { readonly offline?: boolean; readonly active: number }[]
}

/**
 * Whether there is a leader that can store anything: with its own a majority of copies is there, and was heard lately. A leader
 * that hears nobody answers as before until it notices, ten to twenty seconds later.
 */
export function hearsMajority(cluster: CopiesOfStream | undefined): boolean {
  if (cluster === undefined) return true
  const { leader, replicas = [] } = cluster
  if (leader === undefined || leader === '') return false
  const isHeard = (active: number): boolean => active > 0 && active <= SILENT_NANOS
  const heard = replicas.filter(({ offline, active }) => offline !== true && isHeard(active)).length
  return 2 * (heard + 1) > replicas.length + 1
}

/**
 * Asks the server of a connection for the leader behind `subject`: that of `STREAM.INFO.<stream>`. An answer without it, as of
 * `INFO`, only tells that some leader answers. Never rejects.
 */
export async function askServer(connection: NatsConnection, subject: string): Promise<ServerWord> {
  try {
    const reply = await connection.request(subject, '', { timeout: ANSWER_MS })
    const { error, cluster } = reply.json<{ error?: { code: number }; cluster?: CopiesOfStream }>()
    return error?.code !== 503 && hearsMajority(cluster) ? 'well' : 'deaf'
  } catch (thrown) {
    return isRefusal(thrown) ? 'refused' : 'deaf'
  }
}

function isRefusal(thrown: unknown): boolean {
  if (thrown instanceof PermissionViolationError) return true
  return thrown instanceof errors.RequestError && thrown.cause instanceof PermissionViolationError
}
