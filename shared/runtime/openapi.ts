import { z } from 'zod'

/** What a request or an answer carries: schemas by media type. Undefined where bytes are just bytes. */
export type Contents = Readonly<Record<string, z.ZodType | undefined>>

/** One answer of an operation. */
export interface DescribedAnswer {
  readonly description: string
  readonly content?: Contents
  /** What each header says. */
  readonly headers?: Readonly<Record<string, string>>
}

/** What one method of one path does. */
export interface Operation {
  readonly method: 'get' | 'post'
  /** With its parameters in braces: `/v2/models/{model_name}/infer`. */
  readonly path: string
  /** Name of it in programs that are generated from the document. */
  readonly id: string
  readonly tag: string
  /** A line. */
  readonly summary: string
  readonly description?: string
  /** Each property is a parameter. */
  readonly query?: z.ZodObject
  readonly headers?: z.ZodObject
  readonly body?: { readonly isRequired: boolean; readonly content: Contents }
  /** By status; `default` for every other. */
  readonly answers: { readonly [status: number]: DescribedAnswer; readonly default?: DescribedAnswer }
  /** Whether it is answered without a key or token. @default false */
  readonly isOpen?: boolean
}

/** What an HTTP API offers. */
export interface DescribedApi {
  readonly title: string
  readonly version: string
  readonly description: string
  readonly operations: readonly Operation[]
  /** What each parameter in paths is, by its name. */
  readonly parameters: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
  /** Ways to say who calls; one of them is enough. */
  readonly security: Readonly<Record<string, object>>
  /** Whether every request needs one of them. @default true */
  readonly needsSecurity?: boolean
}

type Json = Readonly<Record<string, unknown>>

/** An OpenAPI 3.1 document. */
export interface OpenApiDocument {
  readonly openapi: string
  readonly info: Json
  readonly paths: Readonly<Record<string, Readonly<Record<string, Json>>>>
  readonly components: { readonly schemas: Json; readonly securitySchemes: Json }
  readonly security: readonly Json[]
  readonly tags: readonly Json[]
}

/**
 * Describes an HTTP API as OpenAPI 3.1. Schemas with an id (`.meta({ id })`) become components, all others stand where they
 * are used. Schemas say what is sent: what a transformation makes of it is not the caller's concern.
 *
 * @throws Error for two operations of one path and method or one id, two schemas of one id, a parameter that is not described
 */
export function describeApi(api: DescribedApi): OpenApiDocument {
  const schemas: Schemas = { components: new Map(), made: new Map() }
  const paths: Record<string, Record<string, Json>> = {}
  const ids = new Set<string>()
  for (const operation of api.operations) {
    const { method, path, id } = operation
    const methods = paths[path] ?? {}
    paths[path] = methods
    if (methods[method] !== undefined || ids.has(id))
      throw new Error(`described twice: ${method} ${path} (${id})`)
    methods[method] = describeOperation(operation, api, schemas)
    ids.add(id)
  }
  const named = Object.keys(api.security).map((name) => ({ [name]: [] }))
  return {
    openapi: '3.1.0',
    info: { title: api.title, version: api.version, description: api.description, license: LICENSE },
    security: api.needsSecurity === false ? [{}, ...named] : named,
    tags: Object.entries(api.tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: Object.fromEntries([...schemas.components].sort(([left], [right]) => (left < right ? -1 : 1))),
      securitySchemes: api.security,
    },
  }
}

const LICENSE = { name: 'Apache-2.0', identifier: 'Apache-2.0' }

/** What was made of schemas so far. */
interface Schemas {
  readonly components: Map<string, unknown>
  /** One that is used twice is made once: refusals are, by every operation. */
  readonly made: Map<z.ZodType, Json>
}

function describeOperation(operation: Operation, api: DescribedApi, schemas: Schemas): Json {
  const { id, tag, summary, description, body, answers, isOpen = false } = operation
  const parameters = [
    ...pathParameters(operation.path, api.parameters),
    ...parametersOf('query', operation.query, schemas),
    ...parametersOf('header', operation.headers, schemas),
  ]
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { required: body.isRequired, content: contentOf(body.content, schemas) },
    }),
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, answer]) => [status, describeAnswer(answer, schemas)]),
    ),
    ...(isOpen && { security: [] }),
  }
}

function pathParameters(path: string, descriptions: DescribedApi['parameters']): readonly Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => {
    const description = descriptions[name]
    if (description === undefined) throw new Error(`the parameter ${name} of ${path} is not described`)
    return { name, in: 'path', required: true, description, schema: { type: 'string', minLength: 1 } }
  })
}

function parametersOf(
  place: 'query' | 'header',
  schema: z.ZodObject | undefined,
  schemas: Schemas,
): readonly Json[] {
  if (schema === undefined) return []
  const { properties = {}, required = [] } = jsonSchema(schema, schemas) as {
    readonly properties?: Readonly<Record<string, Json>>
    readonly required?: readonly string[]
  }
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    ...{ name, in: place, required: required.includes(name) },
    ...(description !== undefined && { description }),
    schema: rest,
  }))
}

function describeAnswer({ description, content, headers }: DescribedAnswer, schemas: Schemas): Json {
  return {
    description,
    ...(headers !== undefined && { headers: headersOf(headers) }),
    ...(content !== undefined && { content: contentOf(content, schemas) }),
  }
}

function headersOf(headers: Readonly<Record<string, string>>): Json {
  const described = Object.entries(headers).map(([name, description]) => [
    name,
    { description, schema: { type: 'string' } },
  ])
  return Object.fromEntries(described)
}

function contentOf(content: Contents, schemas: Schemas): Json {
  const media = Object.entries(content).map(([type, schema]) => [
    type,
    schema === undefined ? {} : { schema: jsonSchema(schema, schemas) },
  ])
  return Object.fromEntries(media)
}

const DEFINITIONS = '#/$defs/'
const COMPONENTS = '#/components/schemas/'

/** The JSON schema of a schema; those with an id become components, and are named where they are used. */
function jsonSchema(schema: z.ZodType, schemas: Schemas): Json {
  const known = schemas.made.get(schema)
  if (known !== undefined) return known
  // Inside another one it is named as any other is, also where it names itself.
  const { $defs = {}, properties } = z.toJSONSchema(z.object({ schema }), {
    io: 'input',
    unrepresentable: 'any',
  })
  for (const [id, definition] of Object.entries($defs)) addComponent(id, asComponent(definition), schemas)
  const made = asComponent(properties?.schema ?? {})
  schemas.made.set(schema, made)
  return made
}

function addComponent(id: string, { id: _id, ...definition }: Json, { components }: Schemas): void {
  const present = components.get(id)
  if (present !== undefined && JSON.stringify(present) !== JSON.stringify(definition))
    throw new Error(`two schemas are called ${id}`)
  components.set(id, definition)
}

function asComponent(definition: unknown): Json {
  const text = JSON.stringify(definition, (key, value: unknown) =>
    key === '$ref' && typeof value === 'string' ? value.replace(DEFINITIONS, COMPONENTS) : value,
  )
  return JSON.parse(text) as Json
}
