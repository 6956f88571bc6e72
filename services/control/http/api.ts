import type { FastifyInstance } from 'fastify'
import { addDeadLetterRoutes } from './dead-letter-routes.ts'
import { addAuthorisation } from './guard.ts'
import { addOverviewRoutes } from './overview-routes.ts'
import type { PartsOf } from './parts.ts'
import { addReplayRoutes, answerMissingTask } from './replay-routes.ts'
import type { Tokens } from './token.ts'

/** Adds every route under `/v1`, each behind a token. To be called before the port is opened. */
export function addApi(app: FastifyInstance, tokens: Tokens, parts: PartsOf): void {
  app.register(async (guarded) => {
    await addAuthorisation(guarded, tokens)
    answerMissingTask(guarded)
    addOverviewRoutes(guarded, parts)
    addDeadLetterRoutes(guarded, parts)
    addReplayRoutes(guarded, parts)
  })
}
