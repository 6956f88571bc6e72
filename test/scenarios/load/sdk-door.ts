import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { createProducer } from '../../../shared/sdk/producer.ts'
import type { Answers, Door, Sending } from './door.ts'

const SOURCE = 'scenarios'

/** Events by one producer with its defaults. What the stream took is `accepted`: its outcome is read from the register. */
export async function openSdkDoor(options: {
  readonly url: string
  readonly model: string
  readonly deadlineMs: () => number
}): Promise<Door> {
  const producer = await createProducer({ url: options.url, source: SOURCE })
  const ids = new Map<number, string>()
  const tokenOf = (id: string): string => eventToken(options.model, SOURCE, id)
  async function publish(
    { index, id, features, isHigh, intended }: Sending,
    answers: Answers,
  ): Promise<void> {
    const expiresAt = new Date(Date.now() + intended + options.deadlineMs() - performance.now())
    const { model } = options
    ids.set(index, id)
    try {
      const lane = isHigh ? 'high' : 'normal'
      const { token } = await producer.publish({ model, id, features, lane, expiresAt })
      answers.accepted(index, token)
    } catch (thrown) {
      const code = (thrown as { readonly code?: string }).code ?? String(thrown)
      if (code === 'broker-unavailable' || code === 'closed') answers.doubted(index, code, tokenOf(id))
      else answers.refused(index, code)
    } finally {
      ids.delete(index)
    }
  }
  return {
    send: (sending, answers) => void publish(sending, answers),
    giveUp: (index) => {
      const id = ids.get(index)
      return id === undefined ? undefined : tokenOf(id)
    },
    close: () => producer.close(),
  }
}
