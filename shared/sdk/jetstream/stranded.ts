import { errors, type NatsConnection } from '@nats-io/transport-node'

export interface StrandedOptions {
  /** Between two looks, milliseconds. @default 3_000 */
  readonly lookEveryMs?: number
  /** How long JetStream may be silent before another server is tried: longer than an election. @default 8_000 */
  readonly patienceMs?: number
}

/** How long one answer may take, milliseconds. */
const ANSWER_MS = 1_500
/** Between two looks once one has failed, milliseconds. */
const LOOK_AGAIN_MS = 500

/**
 * Lets a client leave a server that lives, and is cut off from the others: its connection is well, and no leader ever
 * answers. Asks for JetStream now and then, and reconnects, to the next server of the list, when it has been silent or
 * without a leader for long. Waits twice as long each time, up to a minute. Ends with the connection.
 */
export function leaveStrandedServer(connection: NatsConnection, options: StrandedOptions = {}): void {
  const { lookEveryMs = 3_000, patienceMs = 8_000 } = options
  let silentSince: number | undefined
  let patience = patienceMs
  let timer: NodeJS.Timeout

  async function look(): Promise<void> {
    const isWell = await answers(connection)
    if (isWell) {
      silentSince = undefined
      patience = patienceMs
    } else {
      silentSince ??= performance.now()
      if (performance.now() - silentSince > patience) {
        silentSince = undefined
        patience = Math.min(60_000, patience * 2)
        await connection.reconnect() // does nothing while it is away already
      }
    }
    if (!connection.isClosed()) lookIn(isWell ? lookEveryMs : LOOK_AGAIN_MS)
  }
  function lookIn(ms: number): void {
    timer = setTimeout(() => void look(), ms)
    timer.unref()
  }
  lookIn(lookEveryMs)
  void connection.closed().then(() => clearTimeout(timer))
}

/** Whether a leader answers for JetStream. A refusal for want of rights is an answer too. */
async function answers(connection: NatsConnection): Promise<boolean> {
  try {
    const reply = await connection.request('$JS.API.INFO', '', { timeout: ANSWER_MS })
    const { error } = reply.json<{ error?: { code: number } }>()
    return error?.code !== 503
  } catch (thrown) {
    return !(thrown instanceof errors.TimeoutError || isNoResponders(thrown))
  }
}

function isNoResponders(thrown: unknown): boolean {
  return thrown instanceof errors.RequestError && thrown.isNoResponders()
}
