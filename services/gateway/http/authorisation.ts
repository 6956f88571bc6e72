import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { KeyFollower } from '../../../shared/operations/keys/key-follower.ts'
import type { ApiKey } from '../../../shared/operations/keys/key-record.ts'
import { holdsKey } from '../../../shared/operations/keys/key-text.ts'
import { isLoopback } from '../../../shared/runtime/host-names.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { Refusal } from '../core/refusal.ts'
import type { Caller } from '../core/request.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route answers without a key: it tells nothing of events, and nobody can be asked for one. */
    readonly needsNoKey?: boolean
  }
}

/** When a key is needed: `auto` means on any address but loopback. */
export type KeysWanted = 'auto' | 'always' | 'never'

/**
 * Whether requests need a key: on loopback unless they were asked for not, on any other address always.
 *
 * @param host address the gateway listens on
 * @throws PeltonError `invalid-configuration` for `never` on an address that others reach
 */
export function needsKeys(host: string, wanted: KeysWanted): boolean {
  if (wanted === 'always') return true
  if (isLoopback(host)) return false
  if (wanted === 'auto') return true
  throw new PeltonError('invalid-configuration', 'an address that others reach needs API keys', {
    field: 'PELTON_GATEWAY_KEYS',
    value: wanted,
    remedy: 'Leave it out and make keys with `pelton keys create`, or listen on 127.0.0.1.',
  })
}

/** What the log says at the start where no key is needed. */
export const OPEN_NOTE =
  'no API key is needed: whoever can open a connection on this machine may ask every model (PELTON_GATEWAY_KEYS=always asks for keys)'

/** How callers are found. */
export interface CallerOptions {
  /**
   * The keys, where one is needed; undefined where none is. Called for each request.
   *
   * @throws PeltonError `broker-unavailable` while there is no connection yet
   */
  readonly keys: (() => KeyFollower) | undefined
  /** Pool of callers that need no key. */
  readonly pool: string
  /** How long a request waits while the broker does not confirm what is known of keys, milliseconds. @default 10_000 */
  readonly patienceMs?: number
  /** Paths below which routes need no key, beside those that say so: of plugins whose routes cannot. @default none */
  readonly openBelow?: readonly string[]
}

const PATIENCE_MS = 10_000
/** Who sent a request: a key is looked up once for each, because its secret is hashed for that. */
const found = new WeakMap<IncomingMessage, Caller>()
/** Names under which other servers take keys in the address. */
const NAMED_IN_ADDRESS = /[?&](?:(?:x-)?api[-_]?key|access[-_]?token)=/i

/**
 * Finds who sends each request before any of its body is read, and refuses who has no key where one is needed; pages of
 * other sites the listener refuses. To be called before the routes are added, and after whatever answers CORS preflights,
 * which carry no key.
 *
 * @returns who sent a request, on a route that needs a key
 */
export function addCallers(
  app: FastifyInstance,
  options: CallerOptions,
): (request: FastifyRequest) => Caller {
  const { keys, pool, patienceMs = PATIENCE_MS, openBelow = [] } = options
  openRoutes(app, openBelow)
  if (keys === undefined) {
    const anybody = callerWithoutKey(pool)
    return () => anybody
  }
  addGuard(app, ({ raw }) => {
    if (found.has(raw)) return undefined
    const key = findKey(keys(), keyOf(raw), patienceMs)
    if (!(key instanceof Promise)) return void found.set(raw, callerWith(key))
    return key.then((confirmed) => void found.set(raw, callerWith(confirmed)))
  })
  return ({ raw }) => {
    const caller = found.get(raw)
    if (caller === undefined) throw new PeltonError('internal', 'a route that needs no key asks who called')
    return caller
  }
}

/**
 * Finds who sends a request before it has a route, where that is known at once. It is not looked up again for its route.
 *
 * @returns undefined where it is not: because it has to be waited for, or the request is to be refused
 */
export function callersAtOnce({
  keys,
  pool,
}: Pick<CallerOptions, 'keys' | 'pool'>): (request: IncomingMessage) => Caller | undefined {
  const anybody = callerWithoutKey(pool)
  if (keys === undefined) return () => anybody
  return (request) => {
    try {
      const follower = keys()
      const key = follower.isFresh ? follower.find(keyOf(request)) : undefined
      if (key === undefined) return undefined
      const caller = callerWith(key)
      found.set(request, caller)
      return caller
    } catch {
      return undefined
    }
  }
}

/** Has routes of some paths need no key. */
function openRoutes(app: FastifyInstance, paths: readonly string[]): void {
  app.addHook('onRoute', (route) => {
    if (paths.some((path) => route.url === path || route.url.startsWith(`${path}/`)))
      route.config = { ...route.config, needsNoKey: true }
  })
}

/** Looks at each request of a route that needs a key, in turn only where that takes no waiting. */
function addGuard(
  app: FastifyInstance,
  look: (request: FastifyRequest) => undefined | Promise<undefined>,
): void {
  app.addHook('onRequest', (request, _reply, done) => {
    try {
      const looked = request.routeOptions.config.needsNoKey === true ? undefined : look(request)
      if (looked === undefined) done()
      else looked.then(() => done(), done)
    } catch (thrown) {
      done(thrown as Error)
    }
  })
}

/**
 * The key behind a text. Where the broker does not confirm what is known, who has a key that was good waits; whether any
 * other is one cannot be told.
 */
function findKey(keys: KeyFollower, text: string, patienceMs: number): ApiKey | Promise<ApiKey> {
  const key = keys.find(text)
  if (keys.isFresh) return key ?? refuse(UNKNOWN_KEY)
  if (key === undefined) throw unconfirmed()
  return keys.untilFresh(patienceMs).then((isFresh) => {
    if (!isFresh) throw unconfirmed()
    return keys.find(text) ?? refuse(UNKNOWN_KEY)
  })
}

function unconfirmed(): PeltonError {
  return new PeltonError('broker-unavailable', 'the broker does not confirm which API keys are good', {
    remedy: 'Try again.',
  })
}

/** The key that a request carries. @throws Refusal without one, or with more than one, or with one in its address */
function keyOf({ headers, url: address = '' }: IncomingMessage): string {
  if (holdsKey(address)) refuse(KEY_IN_ADDRESS)
  const bearer = bearerOf(headers.authorization)
  const own = headers['x-api-key']
  if (bearer !== undefined && own !== undefined && own !== bearer) refuse(TWO_KEYS)
  const key = bearer ?? own
  if (typeof key === 'string' && key !== '') return key
  return refuse(NAMED_IN_ADDRESS.test(address) ? NAMED_ONLY : NO_KEY)
}

/** Undefined for another scheme, which a proxy in between may use. */
function bearerOf(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /^bearer +(\S+) *$/i.exec(header)?.[1]
}

const HOW =
  'Send `Authorization: Bearer <key>`, or `x-api-key: <key>`; an operator makes keys with `pelton keys create`.'

interface Unauthorised {
  readonly title: string
  readonly detail: string
  readonly remedy: string
  /** RFC 6750; undefined where no key was sent. */
  readonly error?: 'invalid_token' | 'invalid_request'
}

const NO_KEY: Unauthorised = {
  title: 'a key is needed',
  detail: 'the request carries no API key',
  remedy: HOW,
}
const NAMED_ONLY: Unauthorised = { ...NO_KEY, detail: 'an API key is not taken from the address' }
const UNKNOWN_KEY: Unauthorised = {
  title: 'the key is not accepted',
  detail: 'the API key is none, or was revoked',
  remedy: 'Ask an operator for another: `pelton keys list` shows those there are.',
  error: 'invalid_token',
}
const TWO_KEYS: Unauthorised = {
  title: 'one key is needed',
  detail: '`Authorization` and `x-api-key` carry two different keys',
  remedy: 'Send one of the two keys.',
  error: 'invalid_request',
}
const KEY_IN_ADDRESS: Unauthorised = {
  title: 'a key does not belong in the address',
  detail: 'an API key stands in the address of the request, where proxies and logs have seen it',
  remedy: `Have it revoked. ${HOW}`,
  error: 'invalid_request',
}

/** @throws Refusal 401 */
function refuse({ title, detail, remedy, error }: Unauthorised): never {
  const challenge = `Bearer realm="pelton"${error === undefined ? '' : `, error="${error}"`}`
  throw new Refusal(401, title, detail, {
    code: 'unauthorised',
    remedy,
    headers: { 'www-authenticate': challenge },
  })
}

/** Callers by their keys: a key that changes is another object. */
const known = new WeakMap<ApiKey, Caller>()

function callerWith(key: ApiKey): Caller {
  let caller = known.get(key)
  if (caller === undefined) {
    caller = newCaller(key)
    known.set(key, caller)
  }
  return caller
}

function newCaller({ id, pool, highestLane, quotaClass, models }: ApiKey): Caller {
  const names = new Set(models === 'all' ? [] : models)
  const mayUse = (model: string): boolean => models === 'all' || names.has(model)
  return { keyId: id, source: `key/${id}`, pool, highestLane, quotaClass, mayUse }
}

function callerWithoutKey(pool: string): Caller {
  return {
    keyId: undefined,
    source: 'http',
    pool,
    highestLane: 'high',
    quotaClass: undefined,
    mayUse: () => true,
  }
}
