import { afterAll, beforeAll, expect, test } from 'vitest'
import { createGatewayCore } from '../../services/gateway/core/gateway-core.ts'
import { openKeyedRequests } from '../../services/gateway/core/keyed-requests.ts'
import type { Answer, Caller, InferenceRequest, Wanted } from '../../services/gateway/core/request.ts'
import type { RunningCore } from '../../services/gateway/core/running-core.ts'
import { followKeys } from '../../shared/operations/keys/key-follower.ts'
import { createKey } from '../../shared/operations/keys/keys.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STORES } from '../../shared/sdk/contract/topology.ts'
import { lastOfSubject } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

interface Side {
  readonly pipeline: Pipeline
  readonly core: RunningCore
  close(): Promise<void>
}

let folder: Awaited<ReturnType<typeof modelsFolder>>
let production: Side
let staging: Side

beforeAll(async () => {
  folder = await modelsFolder(['identity-fp32', 'gather'])
  production = await open(await openPipeline({ models: folder.path }))
  staging = await open(
    await openPipeline({ models: folder.path, beside: production.pipeline, prefix: 'staging' }),
  )
})
afterAll(async () => {
  await staging?.close()
  await production?.close()
  await folder.remove()
})

async function open(pipeline: Pipeline): Promise<Side> {
  await pipeline.startWorker()
  const { connection } = pipeline
  const onProblem = (text: string): never => expect.unreachable(text)
  const keyedRequests = openKeyedRequests(connection, { onProblem })
  const core = await createGatewayCore(connection, {
    ...{ defaultTimeoutMs: 60_000, maxInFlight: 1_000, maxInFlightBytes: 1024 ** 2 },
    ...{ keyedRequests, onProblem, onAbandoned: () => undefined },
  })
  await eventually('both models', () => core.models.all('default').length === 2)
  const close = async (): Promise<void> => {
    await core.close()
    keyedRequests.close()
    await pipeline.close()
  }
  return { pipeline, core, close }
}

const CALLER: Caller = {
  ...{ keyId: undefined, source: 'http', pool: 'default', quotaClass: undefined },
  highestLane: 'high',
  mayUse: () => true,
}

function request(model: string, input: object, given: Partial<InferenceRequest> = {}): InferenceRequest {
  return {
    ...{ caller: CALLER, model, modelVersion: undefined, lane: 'normal', contentType: 'application/json' },
    data: Buffer.from(JSON.stringify({ inputs: [input] })),
    ...{ inferenceHeaderLength: undefined, timeoutMs: undefined, idempotencyKey: undefined },
    signal: new AbortController().signal,
    ...given,
  }
}

const numbers = (value: number): object => ({
  name: 'x',
  shape: [1, 2],
  datatype: 'FP32',
  data: [value, value],
})
const SYNC: Wanted = { mode: 'sync' }

const outputOf = (answer: Answer): unknown =>
  answer.kind === 'prediction' ? answer.result.outputs[0]?.data[0] : answer

test('each answers its own requests, also with the same keys and ids, and under load', async () => {
  const sides = [
    [production, 1],
    [staging, 2],
  ] as const
  const asked = sides.flatMap(([{ core }, value]) =>
    Array.from({ length: 100 }, async (_, index) => {
      const own = { idempotencyKey: `key-${index}` }
      const id = { attributes: { id: `id-${index}` } }
      for (const given of [own, own, id, id])
        expect(outputOf(await core.infer(request('identity-fp32', numbers(value), given), SYNC))).toBe(value)
    }),
  )
  await Promise.all(asked)
})

test('a handle of the one is none at the other, and is followed through retries', async () => {
  const bad = { name: 'index', shape: [1], datatype: 'INT64', data: [1_000_000] }
  const answer = await staging.core.infer(request('gather', bad), { mode: 'async', waitMs: 0 })
  const handle = answer.accepted.handle
  expect(await production.core.lookUp(handle, CALLER)).toEqual({ kind: 'unknown' })
  const seen: string[] = []
  await eventually(
    'an answer',
    async () => {
      const { kind } = await staging.core.lookUp(handle, CALLER)
      if (seen.at(-1) !== kind) seen.push(kind)
      return kind !== 'accepted'
    },
    { everyMs: 1, seen: () => seen },
  )
  expect(seen).toEqual(['accepted', 'failure'])
})

test('a key of the one opens no door of the other', async () => {
  const { connection } = staging.pipeline
  const window = new PublishWindow(connection)
  const wish = { name: 'shop', models: 'all', pool: 'default', highestLane: 'high', by: 'ada' } as const
  const { text } = await createKey({ connection, window }, wish)
  window.close()
  const [own, other] = [followKeys(connection), followKeys(production.pipeline.connection)]
  await eventually('the key', () => own.find(text))
  await eventually('both to be confirmed', () => own.isFresh && other.isFresh)
  expect(other.find(text)).toBeUndefined()
  const secrets = [production, staging].map(({ pipeline }) =>
    lastOfSubject(pipeline.connection, STORES.requests, subjects.gatewaySecret()),
  )
  const [one, two] = await Promise.all(secrets)
  expect(Buffer.from(one?.body ?? []).equals(Buffer.from(two?.body ?? []))).toBe(false)
  await Promise.all([own.close(), other.close()])
})
