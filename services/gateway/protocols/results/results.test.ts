import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { PeltonError } from '../../../../shared/sdk/errors.ts'
import { readResult } from '../../../../shared/sdk/result.ts'
import { OPEN_CALLER, type ProtocolApp, protocolApp } from '../../../../test/kit/protocol-app.ts'
import { eventually } from '../../../../test/kit/wait.ts'
import type { GatewayCore } from '../../core/core.ts'
import type { Accepted, Looked } from '../../core/request.ts'
import { results } from './results.ts'

const ACCEPTED: Accepted = {
  token: 'T'.repeat(22),
  model: 'm',
  pool: 'default',
  lane: 'normal',
  loweredFrom: undefined,
  sequence: 7,
  handle: 'handle.1~x',
  backlogSeconds: undefined,
}
const WAITING: Looked = { kind: 'accepted', accepted: ACCEPTED }

let open: ProtocolApp | undefined
afterEach(() => open?.app.close())

/** An app whose core finds what is said, and how often it was asked. */
function finding(look: (times: number) => Looked, isReady = () => true) {
  const asked: string[] = []
  const core: GatewayCore = {
    models: { isRead: true, find: () => undefined, all: () => [], servedVersions: () => [] },
    infer: () => Promise.reject(new Error('not asked here')),
    lookUp: async (handle, caller) => {
      expect(caller).toBe(OPEN_CALLER)
      asked.push(handle)
      return look(asked.length)
    },
  }
  const made = protocolApp([results], { core, isReady })
  open = made
  const get = (headers: Record<string, string> = {}) =>
    made.app.inject({ method: 'GET', url: '/v1/results/handle.1~x', headers })
  return { asked, get, ended: made.ended, app: made.app }
}

function prediction(): Looked {
  const headers = {
    'pelton-token': ACCEPTED.token,
    'pelton-origin': 'FEATURES 2026-01-01T00:00:00Z 7',
    'pelton-input-digest': 'd'.repeat(22),
    'pelton-outcome': 'prediction',
    'pelton-model-version': '2',
    'ce-datacontenttype': 'application/json',
  }
  const result = readResult(
    `results.m.${ACCEPTED.token}`,
    new Map(Object.entries(headers)),
    Buffer.from('{"a":1}'),
  )
  if (result?.kind !== 'prediction') throw new Error('no prediction')
  return { kind: 'prediction', accepted: ACCEPTED, result }
}

describe('a result', () => {
  test('is the prediction as it is stored', async () => {
    const { get, asked, ended } = finding(prediction)
    const answer = await get()
    expect(answer.statusCode).toBe(200)
    expect(answer.headers).toMatchObject({ 'content-type': 'application/json', 'pelton-model-version': '2' })
    expect(answer.body).toBe('{"a":1}')
    expect(asked).toEqual(['handle.1~x'])
    expect(ended).toMatchObject([{ protocol: 'results', model: 'm', ended: 'prediction', status: 200 }])
  })

  test('that is not there yet is 202, and nobody keeps that', async () => {
    const { get, asked, ended } = finding(() => WAITING)
    const answer = await get()
    expect(answer.statusCode).toBe(202)
    expect(answer.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store' })
    expect(answer.json()).not.toHaveProperty('estimateSeconds')
    expect(asked).toHaveLength(1)
    expect(ended).toMatchObject([{ ended: 'accepted', status: 202 }])
  })

  test('whose deadline is over is on its way like any other', async () => {
    const { get } = finding(() => ({ kind: 'timeout', accepted: ACCEPTED, timeoutMs: 5 }))
    expect((await get()).statusCode).toBe(202)
  })

  test.each([
    [{ kind: 'gone', token: ACCEPTED.token } as const, 410, 'gone'],
    [{ kind: 'unknown' } as const, 404, 'not-found'],
  ])('that is %j is refused', async (looked, status, reason) => {
    const { get, ended } = finding(() => looked)
    const answer = await get({ prefer: 'wait=20' })
    expect(answer.json()).toMatchObject({ status, field: 'handle', remedy: expect.any(String) })
    expect(answer.headers['cache-control']).toBe('no-store')
    expect(ended).toMatchObject([{ model: undefined, ended: 'refused', status, reason }])
  })

  test('that cannot be looked for is 503', async () => {
    const { get, ended } = finding(() => {
      throw new PeltonError('broker-unavailable', 'the broker does not answer')
    })
    expect((await get()).statusCode).toBe(503)
    expect(ended).toMatchObject([{ ended: 'refused', status: 503, reason: 'broker-unavailable' }])
  })
})

describe('waiting for a result', () => {
  test('ends with it', async () => {
    const { get, asked } = finding((times) => (times < 3 ? WAITING : prediction()))
    const answer = await get({ prefer: 'wait=29' })
    expect([answer.statusCode, answer.headers['preference-applied'], asked.length]).toEqual([
      200,
      'wait=29',
      3,
    ])
  })

  test('ends with 202 when the time is over', async () => {
    const { get, asked } = finding(() => WAITING)
    const answer = await get({ prefer: 'wait=1' })
    expect(answer.statusCode).toBe(202)
    expect(asked.length).toBeGreaterThan(1)
  })

  test('ends when the service is not ready any more', async () => {
    let isReady = true
    const { get } = finding(
      () => {
        isReady = false
        return WAITING
      },
      () => isReady,
    )
    expect((await get({ prefer: 'wait=30' })).statusCode).toBe(202)
  })

  test('ends when the listener closes, with an answer', async () => {
    const { get, asked, app } = finding(() => WAITING)
    const answer = get({ prefer: 'wait=30' })
    await eventually('a first look', () => asked.length > 0)
    await app.close()
    expect((await answer).statusCode).toBe(202)
  })

  test('ends when the caller leaves, and is counted as that', async () => {
    const { asked, app, ended } = finding(() => WAITING)
    await app.listen({ host: '127.0.0.1', port: 0 })
    const client = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    await once(client, 'connect')
    client.write('GET /v1/results/handle.1~x HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=30\r\n\r\n')
    await eventually('a first look', () => asked.length > 0)
    client.destroy()
    await eventually('the count', () => ended.length > 0)
    expect(ended).toMatchObject([{ ended: 'left', status: 499, model: 'm' }])
  })
})
