import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { openListener } from '../../services/gateway/http/listener.ts'

/** A listener of its own process, so that its memory is seen alone, and a defect ends it. Bounds come by the environment. */
const listener = openListener({
  host: '127.0.0.1',
  port: 0,
  log: pino({ level: 'info' }),
  limits: JSON.parse(process.env.LIMITS ?? '{}'),
})
/** More than a socket takes that nobody reads. */
const LARGE = Buffer.alloc(32 * 1024 ** 2, 'large ')
let smuggled = 0
let askedLarge = 0

listener.app.post('/v2/echo', ({ body }, reply) => reply.send(body as Buffer))
listener.app.get('/v2/large', (_request, reply) => {
  askedLarge += 1
  return reply.type('image/x').send(LARGE)
})
listener.app.get('/v2/models/:model', ({ params }) => params)
listener.app.get('/v2/wait', () => sleep(300, { isOver: true }))
listener.app.get('/v2/smuggled', () => {
  smuggled += 1
  return {}
})
listener.app.get('/v2', () => ({ name: 'here' }))

process.on('message', () => {
  globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  const { connections, heldBytes } = listener
  process.send?.({ rss, heapUsed, external, connections, heldBytes, smuggled, askedLarge })
})
process.on('disconnect', () => process.exit(0))

process.send?.({ address: await listener.listen() })
