import type { NatsConnection } from '@nats-io/transport-node'
import { showDuration } from '../../runtime/quantities.ts'
import type { Durability } from '../../sdk/broker/server.ts'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { streamInfo } from '../../sdk/jetstream/api.ts'
import { type Finding, ok, unknown, warn } from './finding.ts'
import type { UsedBroker } from './running-broker.ts'

/** What the broker does before it acknowledges. */
export interface Promised {
  /**
   * How often a server syncs to disk, milliseconds; of several the one that waits longest; 0 with each write; undefined
   * where one that could be 0 does not tell.
   */
  readonly syncMs: number | undefined
  /** Monitoring that was asked and does not tell. */
  readonly silent?: readonly string[]
  /** Copies of each stream; of the stream with the fewest. */
  readonly replicas: number
  /** Streams that acknowledge before they write (`persist_mode: async`, ADR-56): they override the server's sync. */
  readonly unwritten: readonly string[]
}

/** The broker that is asked. */
export type DurabilityBroker = Pick<UsedBroker, 'connection'> & {
  /** Monitoring of each server: `<url>/varz`. Without it only a user of the system account is told. */
  readonly monitorUrls?: readonly string[] | undefined
}

/** Streams whose loss would be an event's. */
const KEPT = [STREAMS.features, STREAMS.retries, STREAMS.results, STREAMS.deadLetters, STREAMS.ledger]
/** Copies that a loss of power and a disk leave something of. */
const SAFE_REPLICAS = 3

/** Whether the broker promises what `PELTON_DURABILITY` asks: docs/delivery.md. */
export async function checkDurability(
  broker: DurabilityBroker,
  asked: Durability,
): Promise<readonly Finding[]> {
  const streams = await readPromised(broker.connection)
  return streams === undefined ? [] : judge({ ...streams, ...(await readSync(broker)) }, asked)
}

/** What the streams say, which every user of control may read; undefined while they are not provisioned. */
export async function readPromised(
  connection: NatsConnection,
): Promise<Omit<Promised, 'syncMs'> | undefined> {
  const found = await Promise.all(KEPT.map((stream) => streamInfo(connection, stream)))
  if (found[0] === undefined) return undefined
  const configs = found.flatMap((info) => (info === undefined ? [] : [info.config]))
  return {
    replicas: Math.min(...configs.map(({ num_replicas: replicas }) => Number(replicas ?? 1))),
    unwritten: configs.filter(({ persist_mode: mode }) => mode === 'async').map(({ name }) => String(name)),
  }
}

/**
 * How often the servers sync to disk. One that waits is enough to know; that all sync is known once all have said so.
 */
export async function readSync({
  connection,
  monitorUrls,
}: DurabilityBroker): Promise<Pick<Promised, 'syncMs' | 'silent'>> {
  if (monitorUrls === undefined) return { syncMs: syncMsOf(await askSystem(connection)) }
  const told = await Promise.all(monitorUrls.map(async (url) => syncMsOf(await askMonitor(url))))
  const silent = monitorUrls.filter((_url, index) => told[index] === undefined)
  const longest = Math.max(...told.map((syncMs) => syncMs ?? 0))
  return { syncMs: silent.length > 0 && longest === 0 ? undefined : longest, silent }
}

/**
 * Whether what is promised is what is asked; undefined where it cannot be known. How a server syncs matters to a loss
 * of power only: what it was handed outlives its process in any case.
 */
export function isMet({ syncMs, replicas, unwritten }: Promised, asked: Durability): boolean | undefined {
  if (unwritten.length > 0) return false
  if (asked === 'process') return true
  if (replicas < SAFE_REPLICAS) return false
  return syncMs === undefined ? undefined : syncMs === 0
}

/** No operator asks for longer; an unquoted `2m` is read as two million seconds, and only a log line says so. */
const LONGEST_SYNC_MS = 3_600_000
const QUOTE = 'Set `jetstream { sync_interval: "always" }`, with the quotes, on every server'

const MORE_COPIES = 'Use a cluster of three, and `pelton provision --replicas 3`.'

/** What is promised against what is asked. */
export function judge(
  { syncMs, replicas, unwritten, silent }: Promised,
  asked: Durability,
): readonly Finding[] {
  const copies = replicas > 1 ? `${replicas} copies of each stream` : 'one copy of each stream'
  if (unwritten.length > 0) {
    const text = `${unwritten.join(', ')} acknowledge before they write: the end of the server loses events`
    return [warn('durability', text, 'Remove `persist_mode: async` from them.')]
  }
  if (asked === 'power' && replicas < SAFE_REPLICAS && syncMs === undefined)
    return [warn('durability', `profile power; ${copies}: less than asked`, MORE_COPIES)]
  if (syncMs === undefined) return [notTold(copies, silent)]
  if (syncMs > LONGEST_SYNC_MS) {
    const text = `${copies}, synced every ${showDuration(syncMs)}: most likely a duration without quotes`
    return [warn('durability', text, `${QUOTE}, or a duration like "2m".`)]
  }
  const synced = syncMs === 0 ? 'synced to disk with each write' : `synced every ${showDuration(syncMs)}`
  const text = `profile ${asked}; ${copies}, ${synced}`
  if (asked === 'process') {
    const lost = `: a loss of power can cost what was stored in the last ${showDuration(syncMs)}`
    return [ok('durability', syncMs === 0 ? text : `${text}${lost}`)]
  }
  if (syncMs > 0) return [warn('durability', `${text}: less than asked`, `${QUOTE}.`)]
  if (replicas < SAFE_REPLICAS)
    return [warn('durability', `${text}: survives a loss of power, not that of its disk`, MORE_COPIES)]
  return [ok('durability', text)]
}

/** The broker did not tell how it syncs: no address was given, or servers do not answer there. */
function notTold(copies: string, silent: readonly string[] = []): Finding {
  if (silent.length > 0) {
    const text = `${copies}; how each server syncs to disk is not known: nothing from ${silent.join(', ')}`
    return unknown('durability', text, 'See whether these servers run, and correct PELTON_NATS_MONITOR_URL.')
  }
  return unknown(
    'durability',
    `${copies}; how often the server syncs to disk cannot be read with these rights`,
    `${QUOTE} if acknowledged events must survive a loss of power; without it the server syncs every two minutes. ` +
      'Name the monitoring of every server in PELTON_NATS_MONITOR_URL to have it read.',
  )
}

interface Varz {
  readonly jetstream?: {
    readonly config?: { readonly sync_interval?: number; readonly sync_always?: boolean }
  }
}

function syncMsOf(varz: Varz | undefined): number | undefined {
  const { sync_always: always, sync_interval: nanos } = varz?.jetstream?.config ?? {}
  if (always === true) return 0
  return nanos === undefined ? undefined : nanos / 1e6
}

/** Only a user of the system account may ask over NATS. */
async function askSystem(connection: NatsConnection): Promise<Varz | undefined> {
  try {
    const reply = await connection.request('$SYS.REQ.SERVER.PING.VARZ', '', { timeout: 1_000 })
    return reply.json<{ readonly data?: Varz }>().data
  } catch {
    return undefined
  }
}

async function askMonitor(monitorUrl: string): Promise<Varz | undefined> {
  try {
    const response = await fetch(`${monitorUrl}/varz`, { signal: AbortSignal.timeout(2_000) })
    return (await response.json()) as Varz
  } catch {
    return undefined
  }
}
