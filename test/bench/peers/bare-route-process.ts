import Fastify from 'fastify'

// What a server costs that reads a request and answers it: nothing is asked, nothing decided.

const server = Fastify()
server.post('/v2/models/*', (_request, reply) =>
  reply.code(503).header('retry-after', '1').send({ error: 'overloaded' }),
)
const address = await server.listen({ host: '127.0.0.1', port: 0 })
process.send?.({ kind: 'state', state: 'ready', address })
process.once('SIGTERM', () => process.exit(0))
