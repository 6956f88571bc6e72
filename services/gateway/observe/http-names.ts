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
export function routeOf({ routeOptions }: Pick<FastifyRequest, 'routeOptions'>): string | undefined {
  return routeOptions.url?.replaceAll(/:(\w+)/g, '{$1}')
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
