import { setTimeout as sleep } from 'node:timers/promises'
import {
  connect as connectNats,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { apiSubject } from './domain.ts'
import { askServer } from './quorum-probe.ts'
import type { ServerChoice } from './server-choice.ts'

export interface StrandedOptions {
  /** Settings of the connection: others are asked with the same. */
  readonly settings: NodeConnectionOptions
  /** Stream this user may ask about. */
  readonly stream: string
  readonly servers: ServerChoice
}

/** Between two looks, milliseconds. */
const LOOK_MS = 1_000
/** The same once a server was not well, and none was better: an election may end at any moment. */
const LOOK_AGAIN_MS = 400
/** After so many looks at which no server was well, looks are rare: it is no election that all of them wait for. */
const MANY_LOOKS = 60
const RARE_LOOK_MS = 10_000
/** How long another server may take to greet, milliseconds. */
const GREETING_MS = 1_500

/**
 * Lets a client leave a server that lives, and is cut off from the others: its connection is well, and nothing comes of what
 * it asks. Asks each second for a leader that hears a majority. Without one it asks all other servers over short connections of
 * their own, and moves to one that has such a leader; where nobody has, it stays. Ends with the connection.
 */
export function leaveStrandedServer(connection: NatsConnection, options: StrandedOptions): void {
  const { servers, stream } = options
  const ended = new AbortController()
  /** What is asked where this user may not ask about the stream. */
  const account = apiSubject(connection, 'INFO')
  let subject = apiSubject(connection, `STREAM.INFO.${stream}`)

  /** @returns `unknown` where nothing can be learnt: this user may ask nobody anything */
  async function isWell(): Promise<boolean | 'unknown'> {
    const word = await askServer(connection, subject)
    if (word !== 'refused') return word === 'well'
    if (subject === account) return 'unknown'
    subject = account
    return isWell()
  }
  async function look(): Promise<boolean | 'unknown'> {
    const home = connection.info?.server_id
    if (!mayMove(connection, servers)) return true
    const before = await isWell()
    if (before !== false) return before
    // Behind one address may be several servers, and one server may have several addresses: they are told apart by their ids.
    const here = connection.getServer()
    const all = [here, ...servers.others(connection)]
    const isOther = (id: string): boolean => id !== home
    const better = await firstWell(all, isOther, { ...options, subject })
    if (better === undefined) return false
    // An election may have ended meanwhile, or this process may have been too busy to hear the first answer. Where the server is
    // well over another connection, this one only has too much on its way. And what was well may have been cut off in the same
    // moment as this.
    const isHome = (id: string): boolean => id === home
    const [now, again] = await Promise.all([isWell(), firstWell(all, isHome, { ...options, subject })])
    if (now !== false || again !== undefined) return true
    if ((await firstWell([better], isOther, { ...options, subject })) === undefined) return false
    if (connection.isClosed()) return true
    servers.prefer(better)
    await connection.reconnect() // does nothing while it is away already: then the next dial goes there
    return true
  }
  async function run(): Promise<void> {
    for (let fruitless = 0; ; ) {
      const pauseMs = fruitless === 0 ? LOOK_MS : fruitless < MANY_LOOKS ? LOOK_AGAIN_MS : RARE_LOOK_MS
      // Not all clients of a server at the same moment.
      await sleep(pauseMs * (0.75 + Math.random() / 2), undefined, { signal: ended.signal, ref: false })
      const found = await look()
      if (found === 'unknown') return
      fruitless = found ? 0 : fruitless + 1
    }
  }
  void connection.closed().then(() => ended.abort())
  run().catch(() => undefined) // it ends with the connection
}

/** Whether there is another server to go to, as far as is known; one that stands alone is not in a cluster. */
function mayMove(connection: NatsConnection, servers: ServerChoice): boolean {
  return connection.info?.cluster !== undefined || servers.others(connection).length > 0
}

/** The first address behind which a server of these ids has such a leader; undefined when none has. */
async function firstWell(
  addresses: readonly string[],
  isWanted: (serverId: string) => boolean,
  { settings, subject }: Pick<StrandedOptions, 'settings'> & { readonly subject: string },
): Promise<string | undefined> {
  const asked = addresses.map(async (address) => {
    const connection = await connectNats({
      ...settings,
      servers: address,
      reconnect: false,
      timeout: GREETING_MS,
    })
    try {
      if (!isWanted(connection.info?.server_id ?? '')) throw new Error('it is not asked')
      if ((await askServer(connection, subject)) !== 'well') throw new Error('it is not well either')
      return address
    } finally {
      await connection.close()
    }
  })
  return Promise.any(asked).catch(() => undefined)
}
