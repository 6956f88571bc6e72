import type { PublishReply } from '../../../shared/sdk/jetstream/publish-reply.ts'
import type { EncodedMessage, PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { Together } from './together.ts'

/** What becomes of messages that are sent together, each told of by its place. */
export interface Sending {
  /** Asked of each right before it is sent: one that may not go is `unknown`. @default all may */
  readonly mayGo?: (at: number) => boolean
  /** The digest of what is stored of a message. Made of each while the broker works. */
  readonly digestOf: (message: EncodedMessage) => number
  readonly onStored: (at: number, digest: number) => void
  /** What was answered with something else goes on alone. */
  readonly goOn: (at: number, first: PublishReply) => Promise<void>
}

/**
 * Sends messages together. Resolves once each was answered.
 *
 * @returns those that go on alone
 */
export async function sendTogether(
  messages: readonly EncodedMessage[],
  window: Pick<PublishWindow, 'publishAll'>,
  { mayGo = () => true, digestOf, onStored, goOn }: Sending,
): Promise<Together> {
  const digests = new Float64Array(messages.length)
  const alone = new Together()
  await new Promise<void>((resolve) => {
    let left = messages.length
    void window.publishAll(messages, {
      mayGo,
      onReply(at, reply) {
        if (reply.kind === 'stored')
          onStored(at, digests[at] as number) // as many as there are replies
        else alone.add(goOn(at, reply))
        if (--left === 0) resolve()
      },
    })
    // While the broker works.
    for (let at = 0; at < messages.length; at++) digests[at] = digestOf(messages[at] as EncodedMessage)
  })
  return alone
}
