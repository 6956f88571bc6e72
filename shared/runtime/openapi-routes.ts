import { hash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { plainProblem, sendProblem } from './http.ts'
import type { OpenApiDocument } from './openapi.ts'

/** Paths below which {@link addOpenApi} answers: they hold nothing but what the program is. */
export const OPENAPI_PATHS: readonly string[] = ['/openapi.json', '/docs']

/**
 * Serves the description of an API, and a page to try it: `/openapi.json` and `/docs`. The page comes from the packages
 * that are installed and asks nobody else. All of it is made at the first request, and kept: the other routes of `app`
 * know nothing of it, no start waits for it, and a further request costs next to nothing.
 *
 * @param load makes the document, at that first request; where it fails, the next request has it tried again
 */
export function addOpenApi(app: FastifyInstance, load: () => Promise<OpenApiDocument>): void {
  const document = onceMade(load)
  const text = onceMade(async () => keep('application/json', Buffer.from(JSON.stringify(await document()))))
  const page = onceMade(async () => makePage(await document()))
  app.get('/openapi.json', async (_request, reply) => send(reply, await text()))
  app.get('/docs', async ({ url }, reply) => {
    // The page names what it consists of by relative paths: they begin at its slash.
    if (!pathOf(url).endsWith('/')) return reply.header('location', 'docs/').code(302).send()
    return send(reply, (await page()).get(ROOT))
  })
  app.get('/docs/*', async ({ url }, reply) => send(reply, (await page()).get(pathOf(url))))
}

function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? ''
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

/** A file as it is sent. */
interface File {
  readonly type: string
  readonly body: Buffer
  readonly packed: Buffer
  readonly etag: string
}

async function keep(type: string, body: Buffer): Promise<File> {
  const packed = await promisify(gzip)(body)
  return { type, body, packed, etag: `W/"${hash('sha256', body, 'base64url')}"` }
}

const ROOT = '/docs/'

/**
 * The files of the page by their paths: its HTML, what that names, and the document as the page asks for it. They are
 * asked for at an app that listens nowhere.
 */
async function makePage(document: OpenApiDocument): Promise<ReadonlyMap<string, File>> {
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
  const { body } = await pages.inject(ROOT)
  const named = [...body.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, path = '']) => path)
  const files = new Map<string, File>()
  for (const path of ['', 'json', ...named]) {
    const { statusCode, headers, rawPayload } = await pages.inject(ROOT + path)
    if (statusCode !== 200) throw new Error(`${ROOT}${path} answered ${statusCode}`)
    files.set(ROOT + path, await keep(String(headers['content-type']), rawPayload))
  }
  await pages.close()
  return files
}

/** Nothing from elsewhere, nothing inline, in no frame. Pictures of the style sheet are data. */
const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"],
  ...["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ')

function send(reply: FastifyReply, file: File | undefined): FastifyReply {
  if (file === undefined)
    return sendProblem(reply, plainProblem(404, 'not found', 'the page has no such file'))
  const { 'if-none-match': known, 'accept-encoding': accepted = '' } = reply.request.headers
  reply
    .header('content-security-policy', POLICY)
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'no-referrer')
    .header('cache-control', 'no-cache')
    .header('etag', file.etag)
    .header('vary', 'Accept-Encoding')
  if (known === file.etag) return reply.code(304).send()
  reply.header('content-type', file.type)
  // Who weighs encodings against each other gets it as it is.
  const isPacked = /(?:^|,)\s*gzip\s*(?:,|$)/i.test(accepted)
  return isPacked ? reply.header('content-encoding', 'gzip').send(file.packed) : reply.send(file.body)
}
