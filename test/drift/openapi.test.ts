import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readFile } from 'node:fs/promises'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { readControlServiceSettings } from '../../services/control/config.ts'
import { describeControl } from '../../services/control/openapi/document.ts'
import { openDoor as openControl } from '../../services/control/service.ts'
import { readGatewaySettings } from '../../services/gateway/config.ts'
import { openDoor as openGateway } from '../../services/gateway/http-sides.ts'
import { describeGateway } from '../../services/gateway/openapi/document.ts'
import { ACTS, isNotOffered } from '../../services/gateway/protocols/open-inference/model-path.ts'
import { NOT_OFFERED } from '../../services/gateway/protocols/open-inference/open-inference.ts'
import type { OpenApiDocument } from '../../shared/runtime/openapi.ts'
import { OPENAPI_PATHS } from '../../shared/runtime/openapi-routes.ts'
import { startTelemetry } from '../../shared/runtime/telemetry.ts'
import { ROOT } from './observability-files.ts'

const GATEWAY = asRead(describeGateway('1.0.0', true))
const CONTROL = asRead(describeControl('1.0.0'))

function asRead(document: OpenApiDocument): OpenApiDocument {
  return JSON.parse(JSON.stringify(document))
}

/** `GET /v2/models/{model_name}` */
function operationsOf({ paths }: Pick<OpenApiDocument, 'paths'>): readonly string[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods)
      .filter((method) => /^(?:get|post|put|delete|patch)$/.test(method))
      .map((method) => `${method.toUpperCase()} ${path}`),
  )
}

const log = pino({ level: 'silent' })
const telemetry = () =>
  startTelemetry({ serviceName: 'test', instance: 'test', env: {}, hasHttp: false, log })

/** Every route that is added while something is opened, as Fastify has it, but for those of the document and its page. */
async function routesOf(open: () => Promise<{ close(): Promise<void> }>): Promise<readonly string[]> {
  const routes: string[] = []
  const watch = (message: unknown): void => {
    const { fastify } = message as { readonly fastify: FastifyInstance }
    fastify.addHook('onRoute', ({ method, url }) => {
      for (const each of [method].flat()) if (each !== 'HEAD') routes.push(`${each} ${url}`)
    })
  }
  subscribe('fastify.initialization', watch)
  try {
    await (await open()).close()
  } finally {
    unsubscribe('fastify.initialization', watch)
  }
  const own = [...OPENAPI_PATHS, ...OPENAPI_PATHS.map((path) => `${path}/*`)].map((path) => `GET ${path}`)
  return routes.filter((route) => !own.includes(route))
}

const gatewayRoutes = async () => {
  const settings = readGatewaySettings({ PELTON_GATEWAY_PORT: '0' })
  return routesOf(async () => openGateway(settings, log, await telemetry()))
}
const controlRoutes = async () => {
  const env = { PELTON_CONTROL_PORT: '0', PELTON_CONTROL_TOKEN: 'a-token-that-is-long-enough' }
  const settings = readControlServiceSettings(env)
  return routesOf(async () =>
    openControl(settings, log, { ...(await telemetry()), scrape: async () => '' }, env),
  )
}

/** `/v1/replays/:task` → `/v1/replays/{}` */
const anonymous = (route: string): string => route.replaceAll(/:\w+|\{\w+\}/g, '{}')

describe('every route is described, and what is described is a route', () => {
  test('of control', async () => {
    const routes = (await controlRoutes()).map(anonymous)
    expect(routes.length).toBeGreaterThan(20)
    expect([...routes].sort()).toEqual(operationsOf(CONTROL).map(anonymous).sort())
  })

  test('of the gateway, but for what it does not offer, and models, which have one route', async () => {
    const hidden = ['/v2/models/*', ...NOT_OFFERED].flatMap((path) => [`GET ${path}`, `POST ${path}`])
    const routes = await gatewayRoutes()
    expect(routes).toEqual(expect.arrayContaining(hidden))
    const described = operationsOf(GATEWAY).filter((each) => !/ \/v2\/models\//.test(each))
    const visible = routes.filter((route) => !hidden.includes(route)).map(anonymous)
    expect([...visible].sort()).toEqual(described.map(anonymous).sort())
  })

  test('of models: each word that a path may end with', () => {
    const offered = ACTS.filter((act) => !isNotOffered(act)).map((act) => `/${act}`)
    const wanted = ['/v2/models/{}', '/v2/models/{}/versions/{}'].flatMap((path) =>
      ['', ...offered].map((act) => `${act === '/infer' ? 'POST' : 'GET'} ${path}${act}`),
    )
    const described = operationsOf(GATEWAY).map(anonymous)
    expect(described.filter((each) => / \/v2\/models\//.test(each)).sort()).toEqual(
      ['GET /v2/models/stats', ...wanted].sort(),
    )
  })
})

test.each([
  ['the gateway', GATEWAY],
  ['control', CONTROL],
])('the document of %s is valid OpenAPI 3.1', async (_what, document) => {
  const { valid, errors } = await new Validator().validate(JSON.parse(JSON.stringify(document)))
  expect({ valid, errors }).toEqual({ valid: true, errors: undefined })
})

test.each([
  ['the gateway', GATEWAY],
  ['control', CONTROL],
])('every component of %s is used, and every one that is used is there', (_what, document) => {
  const text = JSON.stringify(document)
  const used = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name = '']) => name)
  expect([...new Set(used)].sort()).toEqual(Object.keys(document.components.schemas).sort())
})

interface Schema {
  readonly $ref?: string
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Schema[]
  readonly additionalProperties?: unknown
}
type Described = Readonly<Record<string, unknown>> & { readonly components: { readonly schemas: object } }

function resolve(document: Described, schema: Schema): Schema {
  if (schema.$ref === undefined) return schema
  const name = schema.$ref.split('/').at(-1) ?? ''
  const found = (document.components.schemas as Readonly<Record<string, Schema>>)[name]
  if (found === undefined) throw new Error(`${schema.$ref} is not there`)
  return found
}

/**
 * What makes our schema another thing than theirs: a property of theirs that ours lacks, has of another type, or promises
 * less of (in answers) or asks more of (in requests).
 */
function differences(
  kind: 'request' | 'answer',
  [ours, theirs]: readonly [Schema, Schema],
  documents: readonly [Described, Described],
  at = '',
): readonly string[] {
  const [our, their] = [resolve(documents[0], ours), resolve(documents[1], theirs)]
  const found: string[] = []
  if (their.type !== undefined && our.type !== their.type) found.push(`${at}: ${our.type}, not ${their.type}`)
  if (our.additionalProperties === false) found.push(`${at}: nothing else is taken`)
  const [must, may] = kind === 'answer' ? [their, our] : [our, their]
  for (const name of must.required ?? [])
    if (!may.required?.includes(name)) found.push(`${at}.${name}: is required by one alone`)
  for (const [name, property] of Object.entries(their.properties ?? {})) {
    const own = our.properties?.[name]
    // Of what is optional an answer need not have everything.
    if (own === undefined && (kind === 'request' || their.required?.includes(name)))
      found.push(`${at}.${name}: is missing`)
    if (own !== undefined) found.push(...differences(kind, [own, property], documents, `${at}.${name}`))
  }
  for (const value of their.enum ?? [])
    if (our.enum !== undefined && !our.enum.includes(value)) found.push(`${at}: does not take ${value}`)
  if (their.items !== undefined && their.items.anyOf === undefined)
    found.push(...differences(kind, [our.items ?? {}, their.items], documents, `${at}[]`))
  for (const other of their.items?.anyOf ?? [])
    if (other.type !== undefined && our.items?.anyOf?.every(({ type }) => type !== other.type) !== false)
      found.push(`${at}[]: takes no ${other.type}`)
  return found
}

describe("the gateway's document beside the Open Inference Protocol's own", async () => {
  const theirs = parse(await readFile(`${ROOT}test/drift/open-inference-rest.fixture.yaml`, 'utf8'))
  const documents = [GATEWAY as unknown as Described, theirs] as const
  const ourName = (path: string): string =>
    path.replace('{MODEL_NAME}', '{model_name}').replace('{MODEL_VERSION}', '{model_version}')
  const operations = operationsOf(theirs)
  expect(operations).toHaveLength(9)

  test.each(operations)('%s is ours, with its statuses, and its schemas fit', (operation) => {
    const [method = '', path = ''] = operation.split(' ')
    const their = theirs.paths[path][method.toLowerCase()]
    // biome-ignore lint/suspicious/noExplicitAny: a test looks into a document
    const our = GATEWAY.paths[ourName(path)]?.[method.toLowerCase()] as any
    expect(our?.operationId).toMatch(/^[\w-]+$/)
    const found: string[] = []
    const compare = (kind: 'request' | 'answer', own: unknown, other: unknown): void => {
      const schemas = [own, other].map(
        (each) => (each as { content?: Record<string, { schema?: Schema }> })?.content?.['application/json'],
      )
      if (schemas[1]?.schema === undefined) return
      found.push(...differences(kind, [schemas[0]?.schema ?? {}, schemas[1].schema], documents))
    }
    if (their.requestBody !== undefined) compare('request', our.requestBody, their.requestBody)
    for (const [status, answer] of Object.entries(their.responses)) {
      expect(Object.keys(our.responses)).toContain(status)
      compare('answer', our.responses[status], answer)
    }
    expect(found).toEqual([])
  })

  test('a difference would be found', () => {
    const text = { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] }
    const number = { type: 'object', properties: { a: { type: 'number' } } }
    expect(differences('answer', [number, text], documents)).toEqual([
      '.a: is required by one alone',
      '.a: number, not string',
    ])
    expect(differences('answer', [{ type: 'object' }, text], documents)).toContain('.a: is missing')
    expect(differences('request', [text, number], documents)).toContain('.a: is required by one alone')
  })
})
