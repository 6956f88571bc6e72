import { once } from 'node:events'
import { connect } from 'node:net'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { eventually } from '../../../test/kit/wait.ts'
import { Refusal } from '../core/refusal.ts'
import type { EarlyLook } from './early-refusals.ts'
import { openListener } from './listener.ts'

/** A listener that looks at every body early, and counts what reaches its hooks. */
async function open(look: EarlyLook) {
  const listener = openListener({ host: '127.0.0.1', port: 0, log: pino({ level: 'silent' }) })
  onTestFinished(() => listener.close())
  const counts = { asked: 0, began: 0 }
  listener.app.addHook('onRequest', (_request, _reply, done) => {
    counts.began++
    done()
  })
  listener.app.post('/v2/echo', ({ body }) => ({ came: String(body) }))
  listener.refuseEarly(() => {
    counts.asked++
    return look
  })
  const address = await listener.listen()
  return { counts, listener, url: `${address}/v2/echo`, port: Number(new URL(address).port) }
}

const post = async (url: string, body: string) => {
  const answer = await fetch(url, { method: 'POST', body })
  return { status: answer.status, text: await answer.text() }
}

test('what is refused early reaches no route, and what is not has its body there', async () => {
  const { counts, url } = await open((body) =>
    String(body) === 'bad' ? new Refusal(503, 'too much', 'it is too much') : undefined,
  )
  expect(await post(url, 'bad')).toMatchObject({ status: 503, text: expect.stringContaining('too much') })
  expect(counts.began).toBe(0)
  expect(await post(url, 'good')).toEqual({ status: 200, text: '{"came":"good"}' })
  expect(counts.began).toBe(1)
})

test('of a caller that leaves within its body nothing stays behind', async () => {
  const { counts, listener, url, port } = await open(() => undefined)
  const leaving = connect(port, '127.0.0.1')
  leaving.write('POST /v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf')
  await eventually('its body to be read', () => counts.asked === 1 && listener.heldBytes === 4)
  leaving.destroy()
  await once(leaving, 'close')
  await eventually('it to be gone', () => listener.connections === 0)
  expect((await post(url, 'whole')).status).toBe(200)
  expect(counts).toEqual({ asked: 2, began: 1 })
  await eventually('its body to be let go', () => listener.heldBytes === 0)
})
