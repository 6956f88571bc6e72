import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { plainProblem, sendProblem } from './http.ts'
import type { OpenApiDocument } from './openapi.ts'

/** Paths below which {@link addOpenApi} answers: they hold nothing but what the program is. */
export const OPENAPI_PATHS: readonly string[] = ['/openapi.json', '/docs']

/**
 * Serves the description of an API, and a page to try it: `/openapi.json` and `/docs`. The page comes from the packages
 * that are installed and asks nobody else. It is answered by an app of its own, which listens nowhere. All of it is made at
 * the first request: the other routes of `app` know nothing of it, and no start waits for it.
 *
 * @param load makes the document, at that first request; where it fails, the next request has it tried again
 */
export function addOpenApi(app: FastifyInstance, load: () => Promise<OpenApiDocument>): void {
  const document = onceMade(load)
  const text = onceMade(async () => JSON.stringify(await document()))
  const pages = onceMade(async () => makePages(await document()))
  app.get('/openapi.json', async (_request, reply) =>
    secured(reply)
      .type('application/json')
      .header('cache-control', 'no-cache')
      .send(await text()),
  )
  app.get('/docs', async (request, reply) => {
    // The page names what it consists of by relative paths: they begin at its slash.
    const [path = ''] = request.url.split('?', 1)
    if (!path.endsWith('/')) return reply.header('location', 'docs/').code(302).send()
    return passOn(await pages(), request, reply)
  })
  app.get('/docs/*', async (request, reply) => passOn(await pages(), request, reply))
}

/** Makes something when it is first asked for; where that fails, it is made at the next time. */
function onceMade<Made>(make: () => Promise<Made>): () => Promise<Made> {
  let made: Promise<Made> | undefined
  return () => {
    made ??= make().catch((thrown: unknown) => {
      made = undefined
      throw thrown
    })
    return made
  }
}

async function makePages(document: OpenApiDocument): Promise<FastifyInstance> {
  const [{ fastify }, { default: swagger }, { default: swaggerUi }] = await Promise.all([
    import('fastify'),
    import('@fastify/swagger'),
    import('@fastify/swagger-ui'),
  ])
  const pages = fastify()
  await pages.register(swagger, { mode: 'static', specification: { document: document as never } })
  await pages.register(swaggerUi, {
    routePrefix: '/docs',
    theme: { title: String(document.info.title) },
    uiConfig: { deepLinking: true, tryItOutEnabled: true, defaultModelsExpandDepth: 0 },
  })
  await pages.ready()
  return pages
}

/** Of the pages' answers. */
const PASSED_ON = ['content-type', 'etag', 'last-modified', 'cache-control', 'location'] as const
/** Nothing from elsewhere, nothing inline, in no frame. Pictures of the style sheet are data. */
const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"],
  ...["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ')

async function passOn(
  pages: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { 'if-none-match': ifNoneMatch } = request.headers
  const { statusCode, headers, rawPayload } = await pages.inject({
    method: 'GET',
    url: request.url,
    headers: ifNoneMatch === undefined ? {} : { 'if-none-match': ifNoneMatch },
  })
  if (statusCode >= 500) throw new Error(`the page answered ${statusCode}`)
  if (statusCode >= 400)
    return sendProblem(reply, plainProblem(404, 'not found', 'the page has no such file'))
  for (const name of PASSED_ON) if (headers[name] !== undefined) reply.header(name, headers[name])
  if (headers['cache-control'] === undefined) reply.header('cache-control', 'no-cache')
  return secured(reply).code(statusCode).send(rawPayload)
}

function secured(reply: FastifyReply): FastifyReply {
  return reply
    .header('content-security-policy', POLICY)
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'no-referrer')
}
