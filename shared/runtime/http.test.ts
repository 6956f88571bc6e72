import { once } from 'node:events'
import { connect } from 'node:net'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { PeltonError } from '../sdk/errors.ts'
import { addHealthRoutes, type Health, type HttpOptions, type HttpSide, openHttp } from './http.ts'

const silent = pino({ level: 'silent' })
const sides: HttpSide[] = []

function open(health: Partial<Health> = {}, options: Partial<HttpOptions> = {}): HttpSide {
  const side = openHttp({ host: '127.0.0.1', port: 0, log: silent, bodyLimitBytes: 64, ...options })
  sides.push(side)
  addHealthRoutes(side.app, { state: () => 'ready', reasons: () => [], ...health })
  return side
}

afterEach(async () => {
  await Promise.all(sides.splice(0).map((side) => side.close()))
})

describe('health routes', () => {
  test('answer over a real socket; any free port is named', async () => {
    const address = await open({ metrics: async () => 'pelton_x 1\n' }).listen()
    expect(new URL(address).port).not.toBe('0')
    const live = await fetch(`${address}/livez`)
    expect([live.status, await live.json()]).toEqual([200, { status: 'alive' }])
    const ready = await fetch(`${address}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready', reasons: [] }])
    const metrics = await fetch(`${address}/metrics`)
    expect(metrics.headers.get('content-type')).toContain('text/plain; version=0.0.4')
    expect(await metrics.text()).toBe('pelton_x 1\n')
  })

  test('ready is refused with every reason', async () => {
    const { app } = open({ reasons: () => ['broker: connection lost', 'storage: RESULTS refuses'] })
    const answer = await app.inject('/readyz')
    expect(answer.statusCode).toBe(503)
    expect(answer.json()).toEqual({
      status: 'not-ready',
      reasons: ['broker: connection lost', 'storage: RESULTS refuses'],
    })
  })

  test.each(['starting', 'draining', 'stopped', 'failed'] as const)('%s is not ready', async (state) => {
    const { app } = open({ state: () => state })
    const answer = await app.inject('/readyz')
    expect([answer.statusCode, answer.json()]).toEqual([503, { status: state, reasons: [state] }])
    expect((await app.inject('/livez')).statusCode).toBe(200)
  })

  test('without metrics there is no such route', async () => {
    expect((await open().app.inject('/metrics')).statusCode).toBe(404)
  })
})

describe('errors', () => {
  test('what the service explains is no defect', async () => {
    const explain = (thrown: unknown): unknown =>
      thrown instanceof RangeError ? new PeltonError('not-provisioned', thrown.message) : thrown
    const { app } = openHttp({ host: '127.0.0.1', port: 0, log: silent, explain })
    app.get('/known', () => {
      throw new RangeError('too many consumers')
    })
    app.get('/unknown', () => {
      throw new TypeError('a secret')
    })
    const answers = [await app.inject('/known'), await app.inject('/unknown')].map((answer) => answer.json())
    expect(answers).toMatchObject([
      { status: 503, code: 'not-provisioned', detail: expect.stringContaining('too many consumers') },
      { status: 500, code: 'internal' },
    ])
    await app.close()
  })

  test('a PeltonError has the status of its code, and says field, value and remedy', async () => {
    const { app } = open()
    app.get('/full', () => {
      const details = { field: 'max_msgs', value: '10', remedy: 'Slow down.' }
      throw new PeltonError('stream-full', 'FEATURES is full', details, new Error('a secret cause'))
    })
    const answer = await app.inject('/full')
    expect(answer.statusCode).toBe(503)
    expect(answer.headers['content-type']).toContain('application/problem+json')
    expect(answer.json()).toMatchObject({
      type: 'https://pelton.dev/problems/stream-full',
      status: 503,
      code: 'stream-full',
      field: 'max_msgs',
      value: '10',
      remedy: 'Slow down.',
      instance: expect.stringMatching(/^urn:uuid:[0-9a-f-]{36}$/),
    })
    expect(answer.body).not.toContain('secret')
  })

  test('a defect says nothing of itself', async () => {
    const { app } = open()
    app.get('/defect', async () => {
      throw new Error('password=hunter2')
    })
    const answer = await app.inject('/defect')
    expect([answer.statusCode, answer.json().code]).toEqual([500, 'internal'])
    expect(answer.body).not.toMatch(/hunter2|http\.test|at /)
  })

  test('an unknown path answers 404, a known one with another method 405 and Allow', async () => {
    const { app } = open()
    app.post('/models/:name/check', () => ({}))
    expect((await app.inject('/nowhere?x=1')).json()).toMatchObject({
      status: 404,
      detail: 'there is no /nowhere here',
    })
    const wrong = await app.inject({ method: 'DELETE', url: '/readyz' })
    expect([wrong.statusCode, wrong.headers.allow]).toEqual([405, 'GET, HEAD'])
    const parameter = await app.inject('/models/a/check')
    expect([parameter.statusCode, parameter.headers.allow]).toEqual([405, 'POST'])
    expect((await app.inject('/models/a/b/check')).statusCode).toBe(404)
  })

  test.each([
    ['not JSON', 400, { 'content-type': 'application/json' }, '{'],
    ['of another type', 415, { 'content-type': 'text/csv' }, 'a'],
    ['too large', 413, { 'content-type': 'application/json' }, JSON.stringify('x'.repeat(100))],
  ])('a body that is %s answers %i as a problem', async (_name, status, headers, payload) => {
    const { app } = open()
    app.post('/take', () => ({}))
    const answer = await app.inject({ method: 'POST', url: '/take', headers, payload })
    expect([answer.statusCode, answer.json().status]).toEqual([status, status])
    expect(answer.headers['content-type']).toContain('application/problem+json')
  })

  test('a path that is no URL answers 400 as a problem', async () => {
    const answer = await open().app.inject('/%zz')
    expect([answer.statusCode, answer.json().status]).toEqual([400, 400])
  })

  describe('a body that is too large', () => {
    const bytes = 1024 ** 2

    async function refused(options: Partial<HttpOptions> = {}) {
      const side = open({}, options)
      side.app.post('/things', () => ({}))
      const { hostname, port } = new URL(await side.listen())
      const socket = connect(Number(port), hostname)
      socket.setEncoding('latin1')
      socket.write(`POST /things HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`)
      socket.write(`Content-Length: ${bytes}\r\n\r\n`)
      const [answer] = (await once(socket, 'data')) as [string]
      expect(answer).toMatch(/^HTTP\/1\.1 413 /)
      return socket
    }

    test('is refused at once, and read on: its sender hears why, and may ask again on the same connection', async () => {
      const socket = await refused()
      socket.write(Buffer.alloc(bytes))
      socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
      const [answer] = (await once(socket, 'data')) as [string]
      expect(answer).toMatch(/^HTTP\/1\.1 200 /)
      socket.destroy()
    })

    test('and does not come is not waited for longer than any other', async () => {
      const socket = await refused({ requestMs: 100 })
      await once(socket.resume(), 'close')
    })
  })

  test('a port that is taken says which setting to change', async () => {
    const address = await open().listen()
    const second = openHttp({ host: '127.0.0.1', port: Number(new URL(address).port), log: silent })
    sides.push(second)
    await expect(second.listen()).rejects.toMatchObject({
      code: 'invalid-configuration',
      message: expect.stringContaining('PELTON_HTTP_PORT'),
    })
  })
})
