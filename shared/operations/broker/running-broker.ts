import type { NatsConnection } from '@nats-io/transport-node'
import { noteTrouble } from '../../runtime/broker-reach.ts'
import { brokerOptions, withoutSecurity, withoutWho } from '../../runtime/config.ts'
import { type RunningServer, readRunningServer } from '../../sdk/broker/readiness.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { connectBroker, withoutSecrets } from '../../sdk/jetstream/connect.ts'
import type { Waiting } from '../../sdk/jetstream/election.ts'
import { brokerDataDir, readOperatorSettings } from './operator-settings.ts'

/** The broker a command works with. */
export interface UsedBroker {
  readonly connection: NatsConnection
  /** Address for people, without credentials. */
  readonly url: string
  /** What processes started by this command need in their environment to reach the same broker. */
  readonly env: NodeJS.ProcessEnv
  /** Monitoring of each server, where it is known: `<url>/varz`. */
  readonly monitorUrls?: readonly string[]
  close(): Promise<void>
}

type Note = (text: string) => void

/**
 * Connects to a broker that runs already: that of `PELTON_NATS_URL`, else the one of a `pelton up` on this machine,
 * else the usual address.
 *
 * @param waiting how long it may be without a leader. Default: as long as a connection may take
 * @throws PeltonError `broker-unavailable` when there is none; the reason of `waiting.signal`
 */
export async function findRunningBroker(
  env: NodeJS.ProcessEnv,
  note: Note,
  waiting: Waiting = {},
): Promise<UsedBroker> {
  const settings = readOperatorSettings(env)
  const dataDir = brokerDataDir(env)
  const running = env.PELTON_NATS_URL ? undefined : await readRunningServer(dataDir).catch(() => undefined)
  if (running !== undefined) note(`broker: nats://127.0.0.1:${running.port}, of \`pelton up\` in ${dataDir}`)
  const address = running === undefined ? settings.PELTON_NATS_URL : `nats://127.0.0.1:${running.port}`
  const options = brokerOptions(settings, 'pelton control')
  const connection = await connectBroker({
    // The embedded broker has no security, and nothing to tell who one is.
    ...(running === undefined ? options : withoutWho(options)),
    ...waiting,
    url: address,
    onTrouble: noteTrouble(note),
  }).catch((thrown: unknown) => {
    if (env.PELTON_NATS_URL || !isNobodyThere(thrown)) throw thrown
    throw new PeltonError(
      'broker-unavailable',
      `no \`pelton up\` runs here (${dataDir}), and nobody answers at ${withoutSecrets(address)}`,
      { remedy: 'Start `pelton up`, or set PELTON_NATS_URL to the address of your broker.' },
      thrown,
    )
  })
  const url = withoutSecrets(address)
  const monitorUrls = monitorUrlsOf(running, settings)
  return {
    connection,
    url,
    env: { ...(running === undefined ? env : withoutSecurity(env)), PELTON_NATS_URL: address },
    ...(monitorUrls !== undefined && { monitorUrls }),
    close: () => connection.close(),
  }
}

/** Anything else is a broker that does not let us in, and says why. */
function isNobodyThere(thrown: unknown): boolean {
  return (
    thrown instanceof PeltonError &&
    thrown.code === 'broker-unavailable' &&
    /ECONNREFUSED/.test(thrown.message)
  )
}

/**
 * Monitoring of the broker at an address: of a `pelton up` on this machine, found anew each time because it changes when
 * the server restarts; of others what PELTON_NATS_MONITOR_URL says.
 */
export async function readMonitorUrls(
  address: string,
  env: NodeJS.ProcessEnv,
): Promise<readonly string[] | undefined> {
  const running = await readRunningServer(brokerDataDir(env)).catch(() => undefined)
  const isEmbedded = address === `nats://127.0.0.1:${running?.port}`
  return monitorUrlsOf(isEmbedded ? running : undefined, readOperatorSettings(env))
}

function monitorUrlsOf(
  embedded: RunningServer | undefined,
  settings: ReturnType<typeof readOperatorSettings>,
): readonly string[] | undefined {
  return embedded?.monitorUrl === undefined ? settings.PELTON_NATS_MONITOR_URL : [embedded.monitorUrl]
}
