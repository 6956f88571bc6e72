import type { TLSSocket } from 'node:tls'
import type { FastifyRequest } from 'fastify'

/** Those that the HTTP conventions of OpenTelemetry know; any other is one that somebody made up. */
const METHODS: ReadonlySet<string> = new Set([
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE'],
])

/** The method of a request as telemetry names it: of a closed set. */
export function methodOf({ method }: Pick<FastifyRequest, 'method'>): string {
  return METHODS.has(method) ? method : '_OTHER'
}

/** `/v2/models/{model}/infer`; undefined where no route has the path. */
export function routeOf({
  routeOptions,
  url,
}: Pick<FastifyRequest, 'url'> & { readonly routeOptions: { readonly url?: string | undefined } }):
  | string
  | undefined {
  const route = routeOptions.url
  return route === BELOW_MODELS ? modelRoute(url) : route?.replaceAll(/:(\w+)/g, '{$1}')
}

/** One route for all that is asked of a model, because names of models may have slashes. */
export const BELOW_MODELS = '/v2/models/*'
/** How a path behind the name of a model ends: perhaps with a version, perhaps with what is asked, of a closed set. */
const BEHIND_NAME =
  /^[^?#]+?(\/versions\/[^/?#]+)?(\/(?:infer|ready|stats|config|generate|generate_stream|infer_stream))?\/?(?:[?#]|$)/

function modelRoute(url: string): string {
  const behind = url.slice(BELOW_MODELS.length - 1)
  if (/^stats\/?(?:[?#]|$)/.test(behind)) return '/v2/models/stats'
  const [, version, act = ''] = BEHIND_NAME.exec(behind) ?? []
  return `/v2/models/{model}${version === undefined ? '' : '/versions/{version}'}${act}`
}

/** `https` where the connection itself is encrypted, whatever a proxy in front says. */
export function schemeOf({ raw }: Pick<FastifyRequest, 'raw'>): 'http' | 'https' {
  return (raw.socket as Partial<TLSSocket>).encrypted === true ? 'https' : 'http'
}

/** What a request failed with, as telemetry names it: a status of 5xx, or none, because the caller left before it was answered. */
export function errorTypeOfAnswer(status: number | undefined): string | undefined {
  if (status === undefined) return 'aborted'
  return status >= 500 ? String(status) : undefined
}
