import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { readPrometheus, type Scrape } from '../kit/prometheus-text.ts'
import { eventually } from '../kit/wait.ts'

const CALLERS = 200
const BODY = JSON.stringify({ features: EXAMPLE_FLIGHT, parameters: { timeout: 600_000_000 } })
const HEAD = `Host: localhost\r\nContent-Length: ${BODY.length}\r\n`

describe('callers that leave', () => {
  let pipeline: Pipeline
  let gateway: GatewayProcess
  let sockets: Socket[]

  beforeAll(async () => {
    pipeline = await openPipeline()
    const worker = await pipeline.startWorker()
    gateway = await startGateway({ url: pipeline.broker.url, env: { PELTON_HTTP_PORT: '0' } })
    const isServed = async () =>
      (await fetch(`${gateway.address}/v2/models/flight-delay/ready`)).status === 200
    await eventually('the model to be served', isServed)
    process.kill(worker.pid, 'SIGSTOP')
  })

  afterAll(async () => {
    for (const socket of sockets ?? []) socket.destroy()
    await gateway?.end()
    await pipeline?.close()
  })

  async function scrape(): Promise<Scrape> {
    const { address } = gateway.log.find(({ msg }) => msg === 'listening') ?? {}
    return readPrometheus(await (await fetch(`${address}/metrics`)).text())
  }

  /** Requests and bytes that the gateway holds now. */
  async function held(): Promise<readonly (number | undefined)[]> {
    const series = await scrape()
    return ['requests', 'bytes'].map((what) => series.value(`pelton_gateway_in_flight_${what}`, {}))
  }

  test.each([
    ['before their answer', 1],
    ['with a second request behind the first', 2],
  ])('%s hold nothing: neither requests nor bytes', async (_when, each) => {
    const before = await pipeline.lastIn(STREAMS.features)
    sockets = await Promise.all(Array.from({ length: CALLERS / each }, () => send(each)))
    await eventually('all events to be stored', async () => {
      return (await pipeline.lastIn(STREAMS.features)) === before + CALLERS
    })
    const [requests, bytes] = await held()
    expect(requests).toBe(CALLERS)
    expect(bytes).toBeGreaterThanOrEqual(CALLERS * BODY.length)
    for (const socket of sockets) socket.destroy()
    const isNothing = async () => (await held()).every((count) => count === 0)
    await eventually('nothing to be held', isNothing, { seen: held })
    const counted = (await scrape()).value('pelton_gateway_requests_total', { ended: 'left' })
    expect(counted).toBe(CALLERS * (each === 1 ? 1 : 2))
  })

  /** Sends so many requests over one connection, and reads nothing. */
  async function send(count: number): Promise<Socket> {
    const { hostname, port } = new URL(gateway.address)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.write(`POST /v2/models/flight-delay/infer HTTP/1.1\r\n${HEAD}\r\n${BODY}`.repeat(count))
    return socket
  }
})
