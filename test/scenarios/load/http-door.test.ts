import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { eventually } from '../../kit/wait.ts'
import { FATE } from '../measure/account.ts'
import { Answers } from './door.ts'
import { HttpDoor } from './http-door.ts'
import { ofSources } from './schedule.ts'

let server: Server | undefined
let door: HttpDoor | undefined

afterEach(async () => {
  await door?.close()
  server?.closeAllConnections()
  server?.close()
})

type Answer = (request: IncomingMessage, response: ServerResponse) => void

async function openTo(
  answer: Answer,
  options = { hasParameters: true, keepsAlive: true },
): Promise<HttpDoor> {
  server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const addresses = ofSources((source) => `http://127.0.0.1:${port}/${source}`)
  door = new HttpDoor({ addresses, deadlineMs: 250, ...options })
  return door
}

const sending = (index: number, isHigh = false) => ({
  ...{ index, id: `event-${index}`, isHigh, intended: 0, source: 'other' as const },
  features: { origin: 'DTW', hour: 3 },
})

describe('the door over HTTP', () => {
  test('sends features, and says who is important and when it gives up', async () => {
    const bodies: unknown[] = []
    const opened = await openTo((request, response) => {
      void text(request).then((body) => {
        bodies.push(JSON.parse(body))
        response.end('{}')
      })
    })
    const answers = new Answers(1, () => 0)
    opened.send(sending(0, true), answers)
    await eventually('an answer', () => answers.settled === 1)
    expect(bodies).toEqual([
      { features: { origin: 'DTW', hour: 3 }, parameters: { timeout: 250_000, priority: 1 } },
    ])
    expect(answers.fates[0]).toBe(FATE.prediction)
  })

  test('nobody waits for another: each has a connection of its own, which is used again', async () => {
    const held: ServerResponse[] = []
    let connections = 0
    const opened = await openTo((_request, response) => void held.push(response))
    server?.on('connection', () => connections++)
    const answers = new Answers(4, () => 0)
    for (const index of [0, 1, 2]) opened.send(sending(index), answers)
    await eventually('three requests at the same time', () => held.length === 3)
    for (const response of held) response.end('{}')
    await eventually('three answers', () => answers.settled === 3)
    opened.send(sending(3), answers)
    await eventually('a fourth request', () => held.length === 4)
    expect(connections).toBe(3)
  })

  test('a connection that breaks leaves its event in doubt', async () => {
    const opened = await openTo((request) => request.socket.destroy())
    const answers = new Answers(1, () => 0)
    opened.send(sending(0), answers)
    await eventually('a word about it', () => answers.settled === 1)
    expect(answers.fates[0]).toBe(FATE.inDoubt)
    expect([...answers.said]).toEqual([['in doubt: the connection broke', 1]])
  })

  test('whose patience is over leaves: its connection closes', async () => {
    let left = false
    const opened = await openTo((request) => void request.socket.once('close', () => (left = true)))
    const connected = once(server as Server, 'request')
    opened.send(sending(0), new Answers(1, () => 0))
    await connected
    opened.giveUp(0)
    await eventually('the server to notice', () => left)
  })
})
