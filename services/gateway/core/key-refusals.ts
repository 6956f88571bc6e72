import { showValue } from '../../../shared/sdk/errors.ts'
import type { KeyedRequest } from './keyed-request.ts'
import { Refusal } from './refusal.ts'

const FIELD = 'Idempotency-Key'

/** An asynchronous request whose first one has no answer yet. */
export function stillRunning({ key }: Pick<KeyedRequest, 'key'>): Refusal {
  return new Refusal(409, 'Still running', 'the request with this idempotency key has no answer yet', {
    code: 'request-running',
    field: FIELD,
    value: showValue(key),
    remedy: 'Ask for its result where the first answer said so, or send it again later.',
    retryAfterSeconds: 1,
  })
}

/** The key was used for something else. */
export function otherBody({ key }: Pick<KeyedRequest, 'key'>): Refusal {
  return new Refusal(422, 'Key used for another body', 'this idempotency key came with another body before', {
    code: 'idempotency-key-reused',
    field: FIELD,
    value: showValue(key),
    remedy: 'Use another key for another request; send the same bytes to ask for the same one again.',
  })
}

/** Nothing can be said for a key any more. */
export function tooManyKeyed(): Refusal {
  const detail = 'the limit for requests with an idempotency key is reached: bucket pelton-requests is full'
  return new Refusal(503, 'Too many keyed requests', detail, {
    code: 'keyed-requests-full',
    field: FIELD,
    remedy: `Send it later, or without ${FIELD}: such requests are taken. Operators raise PELTON_BUCKETS_MAX_BYTES.`,
    retryAfterSeconds: 5,
  })
}
