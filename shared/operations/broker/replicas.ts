import { showCount, showDuration } from '../../runtime/quantities.ts'
import type { ClusterInfo } from '../../sdk/jetstream/api.ts'

/** A stream, or what one of its consumers knows, and the servers that hold it. */
export interface ReplicaGroup {
  readonly stream: string
  /** Absent for the stream itself. */
  readonly consumer?: string
  /** Server that leads it; undefined while none does. */
  readonly leader: string | undefined
  /** The other servers that hold it; while none leads, all that are known. */
  readonly replicas: readonly Replica[]
  /** What it has come to: the same in two looks means that nothing was stored or settled between them. */
  readonly progress: string
}

/** One replica, as its leader knows it. */
export interface Replica {
  readonly server: string
  /** Whether it has all that was decided. */
  readonly isCurrent: boolean
  /** Whether the cluster takes its server for gone. */
  readonly isOffline: boolean
  /** Since when its leader has heard nothing of it, milliseconds; undefined without a leader. */
  readonly silentMs: number | undefined
  /** Operations that it does not have; undefined where its leader cannot know: it has never heard of it. */
  readonly lag: number | undefined
}

/** What can be wrong with servers and replicas. */
export const REPLICA_ALERTS = ['server-away', 'no-leader', 'replica-behind', 'replica-not-current'] as const

/** Something wrong with servers or replicas, by {@link judgeReplicas}. */
export interface ReplicaTrouble {
  readonly kind: (typeof REPLICA_ALERTS)[number]
  /** A server, or for `no-leader` a stream or consumer. With `kind` it identifies the trouble. */
  readonly about: string
  readonly text: string
  readonly remedy: string
}

/** A leader hears of each replica once a second: more is no delay of a busy server. Milliseconds. */
export const SILENT_MS = 5_000
/** Operations a replica may be behind; one may hold many events. Less is what a busy disk does. */
export const MOST_LAG = 1_000
/** Streams and consumers that a text names. */
const MOST_NAMED = 3

/**
 * What is wrong with the servers and replicas of streams and consumers. What may pass within a second (an election, a busy
 * disk) must be so in both looks; what shows how long it has been so needs only the later one. Pure.
 *
 * @param before an earlier look, a second or more before; the same look twice judges what is so now, elections included
 */
export function judgeReplicas(
  before: readonly ReplicaGroup[],
  now: readonly ReplicaGroup[],
): readonly ReplicaTrouble[] {
  const earlier = new Map(before.map((group) => [nameOf(group), group]))
  const away = awayServers(now)
  const both = now.flatMap((group) => {
    const then = earlier.get(nameOf(group))
    return then === undefined ? [] : [{ group, then }]
  })
  const leaderless = both.filter(({ group, then }) => !isLed(group) && !isLed(then)).map(({ group }) => group)
  return [
    ...[...away].map(([server, silentMs]) => serverAway(server, silentMs, now)),
    ...leaderless.map(noLeader),
    ...perServer(both, isBehind).map(([server, found]) => behind(server, found)),
    ...perServer(both, (server, pair) => !away.has(server) && isStuck(server, pair)).map(([server, found]) =>
      notCurrent(server, found),
    ),
  ]
}

function isLed({ leader }: ReplicaGroup): boolean {
  return leader !== undefined
}

/** The longest a replica of each server was silent, where all leaders that know it say so; undefined: no leader tells. */
function awayServers(groups: readonly ReplicaGroup[]): ReadonlyMap<string, number | undefined> {
  const away = new Map<string, number | undefined>()
  for (const [server, silentMs] of silences(groups)) {
    const seen = groups.flatMap(({ replicas }) => replicas.filter((one) => one.server === server))
    const isOffline = seen.some((one) => one.isOffline)
    if (isOffline || (silentMs ?? 0) >= SILENT_MS) away.set(server, silentMs)
  }
  return away
}

/**
 * For how long each server has been silent, milliseconds: 0 for one that leads, else the least that any leader says; undefined
 * where no leader knows it. A server that leads no group and holds no replica is not among them.
 */
export function silences(groups: readonly ReplicaGroup[]): ReadonlyMap<string, number | undefined> {
  const found = new Map<string, number | undefined>()
  for (const { leader, replicas } of groups) {
    for (const { server, silentMs } of replicas) {
      const before = found.get(server)
      found.set(server, silentMs === undefined ? before : Math.min(before ?? silentMs, silentMs))
    }
    if (leader !== undefined) found.set(leader, 0)
  }
  return found
}

/** How far each server is behind with a stream and its consumers, operations at most: 0 for one that leads. */
export function lags(
  groups: readonly ReplicaGroup[],
): readonly { readonly server: string; readonly stream: string; readonly lag: number }[] {
  const found = new Map<string, { server: string; stream: string; lag: number }>()
  const add = (server: string, stream: string, lag: number): void => {
    const key = `${stream} ${server}`
    found.set(key, { server, stream, lag: Math.max(lag, found.get(key)?.lag ?? 0) })
  }
  for (const { stream, leader, replicas } of groups) {
    if (leader === undefined) continue
    add(leader, stream, 0)
    for (const { server, lag } of replicas) add(server, stream, lag ?? 0)
  }
  return [...found.values()]
}

interface Pair {
  readonly group: ReplicaGroup
  readonly then: ReplicaGroup
}

type Found = Pair & { readonly replica: Replica }

/** What is so of replicas of each server, the furthest behind first. */
function perServer(
  pairs: readonly Pair[],
  isSo: (server: string, found: Found) => boolean,
): readonly (readonly [string, readonly Found[]])[] {
  const servers = new Map<string, Found[]>()
  for (const pair of pairs) {
    if (!isLed(pair.group)) continue
    for (const replica of pair.group.replicas) {
      const found = { ...pair, replica }
      if (!isSo(replica.server, found)) continue
      const list = servers.get(replica.server) ?? []
      servers.set(replica.server, list)
      list.push(found)
    }
  }
  const byLag = (one: Found, other: Found): number => (other.replica.lag ?? 0) - (one.replica.lag ?? 0)
  return [...servers].map(([server, found]) => [server, found.sort(byLag)])
}

function isBehind(server: string, { replica, then }: Found): boolean {
  return (replica.lag ?? 0) >= MOST_LAG && (replicaOf(then, server)?.lag ?? 0) >= MOST_LAG
}

/**
 * Not current in either look, and that is more than the moment a busy replica needs: it is silent, or nothing was stored or
 * settled between the looks that it could be late with. One that a new leader has not heard of yet is silent at most.
 */
function isStuck(server: string, { group, then, replica }: Found): boolean {
  if (replica.isCurrent || replicaOf(then, server)?.isCurrent !== false) return false
  if ((replica.silentMs ?? 0) >= SILENT_MS) return true
  return replica.lag !== undefined && replica.lag < MOST_LAG && group.progress === then.progress
}

function replicaOf({ replicas }: ReplicaGroup, server: string): Replica | undefined {
  return replicas.find((one) => one.server === server)
}

function serverAway(
  server: string,
  silentMs: number | undefined,
  groups: readonly ReplicaGroup[],
): ReplicaTrouble {
  const held = groups.filter((group) => replicaOf(group, server) !== undefined)
  const heard =
    silentMs === undefined ? 'the cluster takes it for gone' : `silent for ${showDuration(silentMs)}`
  return {
    kind: 'server-away',
    about: server,
    text: `server ${server} is away: ${heard}; it holds a replica of ${listed(held)}`,
    remedy:
      'Start it, or mend its network: what it missed it gets from the others. Until then one more that goes may stop everything. docs/runbooks/server-away.md',
  }
}

function noLeader(group: ReplicaGroup): ReplicaTrouble {
  const { consumer, stream } = group
  const servers = group.replicas.map(({ server }) => server).join(', ')
  const holders = servers === '' ? '' : ` (held by ${servers})`
  return {
    kind: 'no-leader',
    about: consumer ?? stream,
    text:
      consumer === undefined
        ? `stream ${stream} has no leader that answers${holders}: nothing is stored or read there`
        : `consumer ${consumer} of ${stream} has no leader that answers${holders}: nobody gets its events`,
    remedy:
      'An election takes seconds. If it stays, more than half of the servers that hold it are away: bring them back. docs/runbooks/quorum-lost.md',
  }
}

function behind(server: string, found: readonly Found[]): ReplicaTrouble {
  const most = found[0]?.replica.lag ?? 0
  return {
    kind: 'replica-behind',
    about: server,
    text: `replicas on server ${server} are behind, by ${showCount(most)} operations at most: ${listed(found.map(({ group }) => group))}`,
    remedy:
      'It catches up by itself if its disk and network are quick enough: see whether the number falls. docs/runbooks/replica-behind.md',
  }
}

function notCurrent(server: string, found: readonly Found[]): ReplicaTrouble {
  return {
    kind: 'replica-not-current',
    about: server,
    text: `replicas on server ${server} are not current, and do not become so: ${listed(found.map(({ group }) => group))}`,
    remedy: 'See the log of that server, and restart it. docs/runbooks/replica-behind.md',
  }
}

/** The first names, streams before consumers, and how many more. */
function listed(groups: readonly ReplicaGroup[]): string {
  const names = [...groups]
    .sort((one, other) => Number(one.consumer !== undefined) - Number(other.consumer !== undefined))
    .map(nameOf)
  const more = names.length - MOST_NAMED
  return `${names.slice(0, MOST_NAMED).join(', ')}${more > 0 ? ` and ${showCount(more)} more` : ''}`
}

function nameOf({ stream, consumer }: Pick<ReplicaGroup, 'stream' | 'consumer'>): string {
  return consumer === undefined ? stream : `${stream}/${consumer}`
}

/** What the API tells of one stream or consumer. @param alone name of the server that answers, for one without a cluster */
export function groupOf(
  of: Pick<ReplicaGroup, 'stream' | 'consumer' | 'progress'>,
  cluster: ClusterInfo | undefined,
  { at, alone }: { readonly at: number; readonly alone: string },
): ReplicaGroup {
  if (cluster === undefined) return { ...of, leader: alone, replicas: [] }
  const leader = cluster.leader || undefined
  const ledMs = Math.max(0, at - Date.parse(cluster.leader_since ?? ''))
  const replicas = (cluster.replicas ?? []).map(({ name, current, offline, active, lag = 0 }): Replica => {
    const isHeard = leader !== undefined && active > 0
    const silentMs = isHeard ? active / 1e6 : leader === undefined || Number.isNaN(ledMs) ? undefined : ledMs
    return {
      server: name,
      isCurrent: current,
      isOffline: offline === true,
      silentMs,
      lag: isHeard ? lag : undefined,
    }
  })
  return { ...of, leader, replicas }
}
