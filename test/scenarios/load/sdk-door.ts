import { eventToken } from '../../../shared/sdk/contract/token.ts'
import { createProducer, type Producer } from '../../../shared/sdk/producer.ts'
import type { Answers, Door, Sending } from './door.ts'
import type { DoorSettings } from './generator.ts'
import { type OfSources, SOURCES, type Source } from './schedule.ts'

/** How a producer is made. */
export interface SdkDoorOptions extends Omit<Extract<DoorSettings, { readonly kind: 'sdk' }>, 'kind'> {
  readonly deadlineMs: () => number
}

/**
 * Events by a producer for each source, with its defaults: none waits to be let in, who sends is told at once. What the
 * stream took is `accepted`: its outcome is read from the register.
 */
export async function openSdkDoor(options: SdkDoorOptions): Promise<Door> {
  const { url, models, isPlain, sources } = options
  const open = (source: Source) =>
    createProducer({ url, source: sources[source], ...(isPlain && { admission: false }) })
  const [other, hot] = await Promise.all(SOURCES.map(open))
  const producers = { other, hot } as OfSources<Producer>
  const ids = new Map<number, string>()
  async function publish(
    { index, id, features, isHigh, intended, source }: Sending,
    answers: Answers,
  ): Promise<void> {
    const model = models[source]
    const tokenOf = (of: string): string => eventToken(model, sources[source], of)
    const producer = producers[source]
    const expiresAt = new Date(Date.now() + intended + options.deadlineMs() - performance.now())
    ids.set(index, tokenOf(id))
    try {
      const lane = isHigh ? 'high' : 'normal'
      const { token } = await producer.tryPublish({ model, id, features, lane, expiresAt })
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
    giveUp: (index) => ids.get(index),
    close: async () => void (await Promise.all(Object.values(producers).map((producer) => producer.close()))),
  }
}
