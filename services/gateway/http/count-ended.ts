import type { FastifyReply } from 'fastify'
import { ERRORS, PeltonError } from '../../../shared/sdk/errors.ts'
import type { Prediction } from '../../../shared/sdk/result.ts'
import type { EndedRequest, Figures } from '../core/figures.ts'
import { Refusal, type RefusalAnswer } from '../core/refusal.ts'
import type { Answer, CallerSignal } from '../core/request.ts'
import { statusOf } from './answers.ts'

/** How a request ended, as its protocol knows it once its answer is on its way. */
export interface Ending extends Pick<EndedRequest, 'ended' | 'status'> {
  readonly reason?: string | undefined
  readonly model?: string | undefined
  readonly modelVersion?: string | undefined
  readonly prediction?: Prediction | undefined
}

/** Whose requests are counted, and what is known of one before it ends. */
export interface Counted {
  readonly figures: Figures
  readonly protocol: EndedRequest['protocol']
  /** Aborted when the caller left. */
  readonly signal: CallerSignal
  /** The served model that the request names, where it names one: asked where the request is refused or its caller gone. */
  modelOf(): string | undefined
}

/** What a status says of a caller that left before its answer, after nginx: no client ever sees it. */
const LEFT = 499

/**
 * Answers a request, and counts it once, however it ends. What is thrown is thrown on, for the listener to answer; but to
 * a caller that left nothing is said.
 */
export async function countEnded(
  counted: Counted,
  reply: FastifyReply,
  answer: () => Promise<Ending>,
): Promise<FastifyReply> {
  const startedAt = performance.now()
  const count = (ending: Ending): void => counted.figures.ended(endedRequest(counted, ending, startedAt))
  try {
    const ending = await answer()
    count(counted.signal.aborted ? { ...ending, ended: 'left', status: LEFT } : ending)
    return reply
  } catch (thrown) {
    if (!counted.signal.aborted) {
      counted.figures.ended(refusedRequest(counted, thrown, counted.modelOf(), startedAt))
      throw thrown
    }
    count({ ended: 'left', status: LEFT, model: counted.modelOf() })
    return reply.hijack()
  }
}

/** How an answer of the core ended its request. */
export function endingOf(answer: Answer): Ending {
  const { model } = answer.accepted
  switch (answer.kind) {
    case 'prediction': {
      const { modelVersion } = answer.result
      return { ended: 'prediction', status: 200, model, modelVersion, prediction: answer.result }
    }
    case 'failure':
      return { ended: 'failure', status: statusOf(answer.result), reason: answer.result.reason, model }
    case 'accepted':
      return { ended: 'accepted', status: 202, model }
    case 'timeout':
      return { ended: 'timeout', status: ERRORS.timeout.status, reason: 'timeout', model }
  }
}

/** A request that is refused with what is thrown. @param startedAt milliseconds of `performance.now` */
export function refusedRequest(
  counted: Pick<Counted, 'protocol'>,
  thrown: unknown,
  model: string | undefined,
  startedAt: number,
): EndedRequest {
  return endedRequest(counted, refusedAs(thrown, model), startedAt)
}

/** The same of one that is refused before anything is thrown. */
export function refusedEarly(
  counted: Pick<Counted, 'protocol'>,
  answer: RefusalAnswer,
  model: string,
  startedAt: number,
): EndedRequest {
  return endedRequest(counted, refusedWith(answer, model), startedAt)
}

function refusedWith({ status, title, details }: RefusalAnswer, model: string | undefined): Ending {
  return { ended: 'refused', status, reason: details.code ?? title, model }
}

function refusedAs(thrown: unknown, model: string | undefined): Ending {
  if (thrown instanceof PeltonError)
    return { ended: 'refused', status: ERRORS[thrown.code].status, reason: thrown.code, model }
  if (thrown instanceof Refusal) return refusedWith(thrown, model)
  return { ended: 'refused', status: 500, reason: 'internal', model }
}

function endedRequest(
  { protocol }: Pick<Counted, 'protocol'>,
  ending: Ending,
  startedAt: number,
): EndedRequest {
  const { ended, status, reason, model, modelVersion, prediction } = ending
  const durationMs = performance.now() - startedAt
  return {
    model,
    modelVersion,
    protocol,
    ended,
    status,
    reason,
    durationMs,
    queueMs: prediction?.queueMs,
    inferenceMs: prediction?.inferenceMs,
    batchRows: prediction?.batchRows,
  }
}
