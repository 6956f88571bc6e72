import { errors, type NatsConnection } from '@nats-io/transport-node'
import { expect, it } from 'vitest'
import { requestApi } from './api.ts'
import { setNaming } from './naming-of.ts'

/** A connection whose JetStream nobody answers for. */
function withoutJetStream(): NatsConnection {
  const nobody = new errors.RequestError('no responders', {
    cause: new errors.NoRespondersError('$JS.API.INFO'),
  })
  return { request: () => Promise.reject(nobody) } as unknown as NatsConnection
}

it.each([
  ['an option, of one that a user of the package handed in', undefined, /name its domain in domain\.$/],
  ['an option, of one that the package opened', 'options', /name its domain in domain\.$/],
  ['a setting, of one that a process of Pelton opened', 'settings', /in PELTON_NATS_DOMAIN\.$/],
] as const)('a request without an answer names %s', async (_what, naming, remedy) => {
  const connection = withoutJetStream()
  if (naming !== undefined) setNaming(connection, naming)
  await expect(requestApi(connection, 'INFO')).rejects.toMatchObject({
    code: 'broker-unavailable',
    details: { remedy: expect.stringMatching(remedy) },
  })
})
