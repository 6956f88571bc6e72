import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Answer, Wanted } from '../../core/request.ts'
import { type Extra, sendAccepted, sendFailure, sendPrediction, sendTimeout } from '../../http/answers.ts'
import { countEnded, endingOf } from '../../http/count-ended.ts'
import { leavingSignal } from '../../http/leaving.ts'
import { appliedWait, type Prefer, readPrefer } from '../../http/request-headers.ts'
import { servedName } from '../request-parts.ts'
import type { ModelPath } from './model-path.ts'
import type { Tools } from './model-routes.ts'
import { readInference } from './read-request.ts'

/**
 * Answers `POST …/infer`: the request becomes an event, and its outcome, or what else comes of it, the answer.
 *
 * @throws what reading the request and the core throw
 */
export async function infer(
  { parts, limits }: Tools,
  request: FastifyRequest,
  reply: FastifyReply,
  { model = '', version }: ModelPath,
): Promise<FastifyReply> {
  const caller = parts.callerOf(request)
  const signal = leavingSignal(request, reply)
  const modelOf = (): string | undefined => servedName(parts, caller, model)
  const counted = { figures: parts.figures, protocol: 'open-inference', signal, modelOf } as const
  return countEnded(counted, reply, async () => {
    const { asked, id } = readInference(request, { caller, model, version, signal, limits })
    const prefer = readPrefer(request.headers)
    const answer = await parts.core().infer(asked, wantedOf(prefer))
    const isReplayed = asked.idempotencyKey !== undefined && answer.accepted.duplicate === true
    const headers = isReplayed ? { 'idempotency-replayed': 'true' } : {}
    send(reply, answer, { headers, members: id === undefined ? {} : { id } }, prefer)
    return endingOf(answer)
  })
}

function wantedOf(prefer: Prefer): Wanted {
  return prefer.respondAsync ? { mode: 'async', waitMs: appliedWait(prefer).waitMs } : { mode: 'sync' }
}

/** @param extra the request's own id: in predictions workers repeat it */
function send(reply: FastifyReply, answer: Answer, extra: Extra, prefer: Prefer): FastifyReply {
  const { accepted } = answer
  switch (answer.kind) {
    case 'prediction':
      return sendPrediction(reply, accepted, answer.result, extra)
    case 'failure':
      return sendFailure(reply, accepted, answer.result, extra)
    case 'timeout':
      return sendTimeout(reply, accepted, answer.timeoutMs, extra)
    case 'accepted': {
      const headers = { ...extra.headers, 'preference-applied': applied(prefer) }
      return sendAccepted(reply, accepted, { ...extra, headers })
    }
  }
}

function applied(prefer: Prefer): string {
  return ['respond-async', appliedWait(prefer).applied ?? []].flat().join(', ')
}
