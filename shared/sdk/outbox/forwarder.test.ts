import { expect, it, vi } from 'vitest'
import { PATIENT } from '../../../test/kit/wait.ts'
import { createNames, PLAIN_NAMES } from '../contract/names.ts'
import { PeltonError } from '../errors.ts'
import type { MessageProducer } from '../producer.ts'
import { Forwarder } from './forwarder.ts'
import { SendQueue } from './send-queue.ts'
import type { Store } from './store.ts'

const SUBJECT = 'features.default.churn.normal'

it.each([
  ['without a prefix', PLAIN_NAMES, SUBJECT],
  ['with one', createNames('staging'), `staging.${SUBJECT}`],
])(
  'an event that nobody answers for is told by its subject at the broker, %s',
  async (_what, names, named) => {
    const queue = new SendQueue(1)
    queue.add(1, SUBJECT)
    const entry = { position: 1, sizeBytes: 10, model: 'churn', message: { subject: SUBJECT } }
    const cause = new PeltonError('broker-unavailable', 'no answer')
    const forwarder = new Forwarder({
      store: { read: async () => [entry] } as unknown as Store, // all that a send without an answer asks for
      producer: () => ({ publishKept: () => Promise.reject(cause) }) as unknown as MessageProducer,
      ...{ queue, names, maxInFlight: 1 },
      onSent: () => expect.unreachable('nobody takes it'),
      onRejected: () => expect.unreachable('nobody refuses it'),
      onBroken: () => expect.unreachable('the folder is well'),
    })
    await vi.waitFor(() => expect(forwarder.problem).toBeDefined(), PATIENT)
    expect(forwarder.problem).toMatchObject({
      code: 'broker-unavailable',
      details: { field: 'subject', value: named },
      description: expect.stringContaining(`nobody says whether events of ${named} are stored: no answer`),
    })
    await forwarder.stop()
  },
)
