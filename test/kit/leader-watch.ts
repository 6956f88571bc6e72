import type { NatsConnection } from '@nats-io/transport-node'
import { uniqueInbox } from '../../shared/sdk/jetstream/publish-window.ts'

const ASK_EVERY_MS = 20

/** A group that elects: a stream, or one of its consumers. */
export interface Group {
  readonly stream: string
  readonly consumer?: string
}

/** When a cluster was itself again, by `performance.now()`. */
export interface Recovery {
  /**
   * The first moment that lasts: all groups are led by others, each by one that leads it still at {@link Recovery.resumedAt}.
   * What is won and lost again before is no election.
   */
  readonly electedAt: number
  /** When the consumer was first seen to have handed out a message after that. */
  readonly resumedAt: number
}

/** What an observer at a healthy node sees of groups that lose their leader. */
export interface LeaderWatch {
  /** Waits until all groups are led by others than `than`, in the word of those leaders, and the consumer hands out again. */
  recovery(than: string): Promise<Recovery>
  /** May be called again. */
  close(): void
}

/** An answer of whoever leads a group. */
export interface Seen {
  readonly at: number
  readonly leader: string
  /** Since when it leads, in its own word: another time is another election. */
  readonly since: string
  /** Deliveries a consumer has made; undefined for a stream. */
  readonly handedOut: number | undefined
}

interface Info {
  readonly cluster?: { readonly leader?: string; readonly leader_since?: string }
  readonly delivered?: { readonly consumer_seq: number }
}

/**
 * Asks for every group each 20 ms, and does not wait for one answer before it asks again: only the leader of a group
 * answers, so the first answer with another name is its election, to 20 ms.
 */
export function watchLeaders(connection: NatsConnection, groups: readonly Group[]): LeaderWatch {
  const prefix = uniqueInbox(connection)
  const seen = groups.map((): Seen[] => [])
  let onSeen: (() => void)[] = []
  const subscription = connection.subscribe(`${prefix}.*`, {
    callback: (error, message) => {
      if (error !== null || message.data.length === 0) return // nobody leads
      const { cluster: { leader = '', leader_since: since = '' } = {}, delivered } = message.json<Info>()
      if (leader === '') return
      const index = Number(message.subject.slice(prefix.length + 1))
      seen[index]?.push({ at: performance.now(), leader, since, handedOut: delivered?.consumer_seq })
      for (const look of onSeen.splice(0)) look()
    },
  })
  const asking = setInterval(() => {
    groups.forEach(({ stream, consumer }, index) => {
      const what = consumer === undefined ? `STREAM.INFO.${stream}` : `CONSUMER.INFO.${stream}.${consumer}`
      connection.publish(`$JS.API.${what}`, '', { reply: `${prefix}.${index}` })
    })
  }, ASK_EVERY_MS)

  return {
    recovery: async (than) => {
      for (;;) {
        const found = recoveryIn(seen, than)
        if (found !== undefined) return found
        await new Promise<void>((resolve) => onSeen.push(resolve))
      }
    },
    close: () => {
      clearInterval(asking)
      onSeen = []
      if (!connection.isClosed()) subscription.unsubscribe()
    },
  }
}

/** The recovery in the answers of each group, in their order; undefined where there is none yet. Pure. */
export function recoveryIn(seen: readonly (readonly Seen[])[], than: string): Recovery | undefined {
  const terms = seen.map(lastTerm)
  if (terms.some(([first]) => first === undefined || first.leader === than)) return undefined
  const electedAt = Math.max(...terms.map(([first]) => first?.at ?? 0))
  const resumed = terms.map((answers) => firstHandedOut(answers, electedAt)).filter((at) => at !== undefined)
  if (resumed.length === 0) return undefined
  const resumedAt = Math.min(...resumed)
  // Each has to be seen to lead still.
  const lasts = terms.every((answers) => (answers.at(-1)?.at ?? 0) >= resumedAt)
  return lasts ? { electedAt, resumedAt } : undefined
}

/** The answers of whoever leads a group now, since it does. */
function lastTerm(answers: readonly Seen[]): readonly Seen[] {
  const last = answers.at(-1)
  const before = answers.findLastIndex(({ leader, since }) => leader !== last?.leader || since !== last.since)
  return answers.slice(before + 1)
}

/** When the leader of a consumer was first seen to have handed out more than it had at `since`. */
function firstHandedOut(answers: readonly Seen[], since: number): number | undefined {
  const before = answers.findLast(({ at }) => at <= since)?.handedOut
  if (before === undefined) return undefined
  return answers.find(({ at, handedOut }) => at > since && (handedOut ?? 0) > before)?.at
}
