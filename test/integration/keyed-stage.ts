import type { NatsConnection } from '@nats-io/transport-node'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import type { Claim, KeyedRequest } from '../../services/gateway/core/keyed-request.ts'
import { type KeyedRequestsOptions, openKeyedRequests } from '../../services/gateway/core/keyed-requests.ts'
import { readEvent } from '../../shared/sdk/contract/event.ts'
import { keyDigest } from '../../shared/sdk/contract/keyed-id.ts'
import { failureNotice, predictionMessage } from '../../shared/sdk/contract/register-message.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { payloadDigest } from '../../shared/sdk/contract/token.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import type { Reason } from '../../shared/sdk/errors.ts'
import { lastOfSubject, requestApi } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { parseHeaderBlock } from '../../shared/sdk/jetstream/stored-message.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { openPipeline, type PipelineOptions, SOURCE } from '../kit/pipeline.ts'
import { FACTS } from './tampering/history-stage.ts'

export const MODEL = 'flight-delay'
export const GOOD = JSON.stringify({ features: EXAMPLE_FLIGHT })
export const OTHER = JSON.stringify({ features: { ...EXAMPLE_FLIGHT, hour: 19 } })
export const BAD = JSON.stringify({ features: { origin: 'DTW' } })

/** A request with a key, as it comes over HTTP. */
export function keyedRequest(
  key: string,
  given: Partial<KeyedRequest> & { readonly body?: string } = {},
): KeyedRequest {
  const { body = GOOD, ...rest } = given
  const whole = { contentType: 'application/json', deadlineAt: Date.now() + 60_000, mode: 'sync' } as const
  return { source: SOURCE, model: MODEL, key, data: Buffer.from(body), ...whole, ...rest }
}

/** A broker, gateways with connections of their own, and what they do with a claim. */
export async function openKeyedStage(options: PipelineOptions = {}) {
  const pipeline = await openPipeline(options)
  const { broker, connection } = pipeline
  const producer = await createProducer({ connection, source: SOURCE })
  const window = new PublishWindow(connection)
  const problems: string[] = []

  async function openGateway(given: KeyedRequestsOptions = {}, own?: NatsConnection) {
    const onProblem = (text: string): number => problems.push(text)
    return openKeyedRequests(own ?? (await broker.connect()), { onProblem, ...given })
  }

  return {
    ...pipeline,
    producer,
    window,
    problems,
    openGateway,
    /** Publishes the event of a claim. Returns its position. */
    async send(request: KeyedRequest, { id }: Pick<Claim, 'id'>, expiresAt?: Date): Promise<number> {
      const event = { model: request.model, id, data: request.data, ...(expiresAt && { expiresAt }) }
      return (await producer.publish(event)).sequence
    },
    /** The entry of a key as it lies in the bucket; undefined without one. */
    async entryOf(scope: KeyedRequest) {
      const subject = subjects.keyedRequest(keyDigest(scope))
      const copy = await lastOfSubject(connection, STORES.requests, subject)
      return copy && { ...copy, headers: parseHeaderBlock(copy.headerBlock) }
    },
    /** Takes away the entry of a key, as its time does. */
    async expire(scope: KeyedRequest): Promise<void> {
      const filter = subjects.keyedRequest(keyDigest(scope))
      await requestApi(connection, `STREAM.PURGE.${STORES.requests}`, { filter })
    },
    /** What a worker stores: a prediction, or the notice of a failure. */
    async answer({ model, source, data }: KeyedRequest, id: string, reason?: Reason): Promise<void> {
      const event = readEvent({
        subject: subjects.feature({ pool: 'default', model, lane: 'normal' }),
        headers: new Map([
          ['ce-id', id],
          ['ce-source', source],
        ]),
        body: data,
        stream: STREAMS.features,
        epoch: '2026-01-01T00:00:00Z',
        sequence: 1,
      })
      const made = {
        worker: 'w',
        at: Date.now(),
        deliveryCount: 1,
        storedAt: 0,
        inputDigest: payloadDigest(data),
      }
      const message =
        reason === undefined
          ? predictionMessage(event, FACTS, made, Buffer.from('{"outputs":[]}'))
          : failureNotice(event, { reason, description: 'as the test says', stage: 'guard' }, made)
      const reply = await window.publish(message)
      if (reply.kind !== 'stored') throw new Error(`not stored: ${JSON.stringify(reply)}`)
    },
    async close(): Promise<void> {
      window.close()
      await producer.close()
      await pipeline.close()
    },
  }
}
