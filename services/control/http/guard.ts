import bearerAuth from '@fastify/bearer-auth'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isLoopback } from '../../../shared/runtime/host-names.ts'
import { PROBLEM_TYPE, plainProblem, sendProblem } from '../../../shared/runtime/http.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import { type Tokens, UNNAMED } from './token.ts'

/** @throws PeltonError `invalid-configuration` for an address others reach without a token of the operator's choice */
export function refuseOpenDoor(host: string, token: string | undefined): void {
  if (isLoopback(host) || token !== undefined) return
  throw new PeltonError('invalid-configuration', 'an address that others reach needs a token', {
    field: 'PELTON_CONTROL_HOST',
    value: host,
    remedy: 'Set PELTON_CONTROL_TOKEN, or listen on 127.0.0.1.',
  })
}

/** Refuses what calls us by another name. Probes are left: they call by address, and learn nothing. */
export function addHostCheck(app: FastifyInstance, isOurs: (header: string | undefined) => boolean): void {
  app.addHook('onRequest', async (request, reply) => {
    const path = request.url.split('?', 1)[0]
    if (path === '/livez' || path === '/readyz' || isOurs(request.headers.host)) return undefined
    const detail = `this is not ${showValue(request.headers.host ?? '')}: use its address, or name it in PELTON_CONTROL_ALLOWED_HOSTS`
    return sendProblem(reply, plainProblem(421, 'misdirected request', detail))
  })
}

const names = new WeakMap<FastifyRequest, string>()

/** Asks for a bearer token on every route that is added to `app` afterwards. */
export async function addAuthorisation(app: FastifyInstance, tokens: Tokens): Promise<void> {
  await app.register(bearerAuth, {
    keys: new Set<string>(),
    auth: (token, request) => {
      const name = tokens.nameOf(token)
      if (name !== undefined) names.set(request, name)
      return name !== undefined
    },
    contentType: PROBLEM_TYPE,
    errorResponse: () =>
      plainProblem(
        401,
        'a token is needed',
        'send `Authorization: Bearer <token>`: that of PELTON_CONTROL_TOKEN, or of control.token in the data folder',
      ),
  })
}

/**
 * The operator who asks, for the records: header `Pelton-Operator`, or the name of the token. A token with a name stays
 * beside what the header says.
 *
 * @throws PeltonError `invalid-argument` for a header that is no name
 */
export function operatorOf(request: FastifyRequest): string {
  const token = names.get(request) ?? UNNAMED
  const given = request.headers['pelton-operator']
  if (given === undefined || given === '') return token
  if (typeof given !== 'string' || !/^[\x20-\x7e]{1,64}$/.test(given))
    throw new PeltonError('invalid-argument', 'this is no name of an operator', {
      field: 'Pelton-Operator',
      value: showValue(given),
      remedy: 'Send 1 to 64 printable ASCII characters.',
    })
  return token === UNNAMED ? given : `${given} via ${token}`
}
