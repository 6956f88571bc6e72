import { createRequire } from 'node:module'
import type { Answers, Door, Sending } from './door.ts'
import type { DoorSettings } from './generator.ts'

type Settings = Extract<DoorSettings, { readonly kind: 'bullmq' }>

/** The parts of BullMQ that a sender uses: the package is no dependency of this repository. */
interface BullMq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => {
    add(name: string, data: object, options: object): Promise<unknown>
    close(): Promise<void>
  }
  readonly QueueEvents: new (
    name: string,
    options: object,
  ) => {
    on(
      event: 'completed' | 'failed',
      listener: (told: { readonly jobId: string; readonly failedReason?: string }) => void,
    ): void
    waitUntilReady(): Promise<unknown>
    close(): Promise<void>
  }
}

/** As its documentation advises for what may fail for a moment. */
const ATTEMPTS = { attempts: 3, backoff: { type: 'exponential', delay: 1_000 } }
const KEEP_NOTHING = { removeOnComplete: true, removeOnFail: true }

/** Jobs with a priority; what became of each by the events of the queue. */
export async function openBullMqDoor({ port, packages, queue: name }: Settings): Promise<Door> {
  const { Queue, QueueEvents } = createRequire(packages)('bullmq') as BullMq
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null }
  const queue = new Queue(name, { connection })
  const events = new QueueEvents(name, { connection })
  const waiting = new Map<string, { readonly index: number; readonly answers: Answers }>()
  const settled = (jobId: string): ((told: (answers: Answers, index: number) => void) => void) => {
    const asked = waiting.get(jobId)
    waiting.delete(jobId)
    return (tell) => void (asked !== undefined && tell(asked.answers, asked.index))
  }
  events.on('completed', ({ jobId }) => settled(jobId)((answers, index) => answers.predicted(index)))
  events.on('failed', ({ jobId, failedReason = 'failed' }) =>
    settled(jobId)((answers, index) => answers.deadLetter(index, failedReason)),
  )
  await events.waitUntilReady()
  return {
    send({ index, id, features, isHigh }: Sending, answers: Answers) {
      waiting.set(id, { index, answers })
      const options = { jobId: id, priority: isHigh ? 1 : 2, ...ATTEMPTS, ...KEEP_NOTHING }
      queue.add('predict', { id, features }, options).catch((thrown: unknown) => {
        waiting.delete(id)
        answers.refused(index, String(thrown))
      })
    },
    giveUp: () => undefined,
    async close() {
      await events.close()
      await queue.close()
    },
  }
}
