import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, expect, test } from 'vitest'
import { readBody } from './bodies.ts'
import { Connections } from './connections.ts'
import { DEFAULT_LIMITS } from './limits.ts'

const BYTES = 100_000
const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

test('a body is let go once it is told, though its request lives as long as its connection is idle', async () => {
  const seen: { request: IncomingMessage; body: WeakRef<Buffer>; told: WeakRef<object> }[] = []
  const connections = new Connections(DEFAULT_LIMITS)
  const server = createServer((request, response) => {
    const told = (_error: Error | null, body?: Buffer): void => {
      if (body !== undefined) seen.push({ request, body: new WeakRef(body), told: new WeakRef(told) })
      response.end(String(body?.length))
    }
    readBody({ request, limits: DEFAULT_LIMITS, connections }, BYTES, undefined, told)
  })
  closing.push(() => {
    server.closeAllConnections()
    server.close()
    connections.close()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'x'.repeat(BYTES) })
  expect(await answer.text()).toBe(String(BYTES))
  await turn()
  collectGarbage()
  const [{ request, body, told } = {}] = seen
  expect(request?.complete).toBe(true)
  expect([body?.deref(), told?.deref()]).toEqual([undefined, undefined])
})
