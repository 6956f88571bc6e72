import type { NatsConnection } from '@nats-io/transport-node'
import { uniqueInbox } from '../../shared/sdk/jetstream/publish-window.ts'

const ASK_EVERY_MS = 20

/** A group that elects: a stream, or one of its consumers. */
export interface Group {
  readonly stream: string
  readonly consumer?: string
}

/** What an observer at a healthy node sees of groups that lose their leader. Times by `performance.now()`. */
export interface LeaderWatch {
  /** When each group was first led by somebody else than `than`, in the word of that leader itself. */
  ledByAnother(than: string): Promise<number>
  /** When the consumer was first seen to have handed out a message after `since`. */
  handedOut(since: number): Promise<number>
  /** May be called again. */
  close(): void
}

interface Seen {
  readonly at: number
  readonly leader: string
  /** Deliveries a consumer has made. */
  readonly handedOut: number
}

interface Info {
  readonly cluster?: { readonly leader?: string }
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
      const { cluster, delivered } = message.json<Info>()
      const leader = cluster?.leader ?? ''
      if (leader === '') return
      const index = Number(message.subject.slice(prefix.length + 1))
      seen[index]?.push({ at: performance.now(), leader, handedOut: delivered?.consumer_seq ?? 0 })
      for (const look of onSeen.splice(0)) look()
    },
  })
  const asking = setInterval(() => {
    groups.forEach(({ stream, consumer }, index) => {
      const what = consumer === undefined ? `STREAM.INFO.${stream}` : `CONSUMER.INFO.${stream}.${consumer}`
      connection.publish(`$JS.API.${what}`, '', { reply: `${prefix}.${index}` })
    })
  }, ASK_EVERY_MS)

  async function until(find: () => number | undefined): Promise<number> {
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      await new Promise<void>((resolve) => onSeen.push(resolve))
    }
  }
  return {
    ledByAnother: (than) =>
      until(() => {
        const firsts = seen.map((answers) => answers.find(({ leader }) => leader !== than)?.at)
        return firsts.every((at) => at !== undefined) ? Math.max(...firsts) : undefined
      }),
    handedOut: (since) =>
      until(() => {
        const answers = seen.flat().filter(({ at, handedOut }) => at >= since && handedOut > 0)
        return answers.find(({ handedOut }) => handedOut > (answers[0]?.handedOut ?? 0))?.at
      }),
    close: () => {
      clearInterval(asking)
      onSeen = []
      if (!connection.isClosed()) subscription.unsubscribe()
    },
  }
}
