import type { FastifyReply, FastifyRequest } from 'fastify'
import { Refusal } from '../../core/refusal.ts'
import type { CallerSignal, Looked } from '../../core/request.ts'
import { sendAccepted, sendFailure, sendPrediction } from '../../http/answers.ts'
import { countEnded, type Ending, endingOf } from '../../http/count-ended.ts'
import { leavingSignal } from '../../http/leaving.ts'
import { appliedWait, readPrefer } from '../../http/request-headers.ts'
import type { Protocol, ProtocolParts } from '../protocol.ts'

interface Addressed {
  readonly Params: { readonly handle: string }
}

/**
 * Results of events that were accepted earlier, by the handle that `Location` of their answer has. It is read by asking:
 * `GET /v1/results/{handle}`, with `Prefer: wait=<seconds>` for an answer as soon as there is one. Other ways to the same
 * outcomes, where the gateway tells them by itself, are protocols of their own beside this one.
 *
 * - 200 with the prediction, as it would have been answered at once
 * - the status of its reason, and a problem, where the event became a dead letter
 * - 202 and `Retry-After` while there is no outcome
 * - 410 where there was one, and it is no longer kept; 404 for what is no handle of this caller
 */
export const results: Protocol = (app, parts) => {
  const pauses = new Pauses()
  app.addHook('preClose', async () => pauses.end())
  app.get<Addressed>('/v1/results/:handle', (request, reply) => tell(parts, request, reply, pauses))
}

function tell(
  parts: ProtocolParts,
  request: FastifyRequest<Addressed>,
  reply: FastifyReply,
  pauses: Pauses,
): Promise<FastifyReply> {
  const signal = leavingSignal(request, reply)
  const caller = parts.callerOf(request)
  const counted = { figures: parts.figures, protocol: 'results', signal, modelOf: noModel } as const
  return countEnded(counted, reply, async () => {
    const { waitMs, applied } = appliedWait(readPrefer(request.headers))
    const look = (): Promise<Looked> => parts.core().lookUp(request.params.handle, caller)
    const isOver = (): boolean => signal.aborted || pauses.areOver || !parts.isReady()
    const looked = await lookUntilAnswered(look, waitMs, isOver, (ms) => pauses.pause(ms, signal))
    if (applied !== undefined) reply.header('preference-applied', applied)
    return send(reply, looked)
  })
}

/** A handle that is refused names no model that could be relied on. */
function noModel(): undefined {
  return undefined
}

/** Between two looks, milliseconds: many callers may wait at the same time, and each look asks the broker. */
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 2_000

/** Looks at once, and again with growing pauses while there is no outcome and the wait is not over. */
async function lookUntilAnswered(
  look: () => Promise<Looked>,
  waitMs: number,
  isOver: () => boolean,
  pause: (ms: number) => Promise<void>,
): Promise<Looked> {
  const end = performance.now() + waitMs
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(1.5 * pauseMs, LONGEST_PAUSE_MS)) {
    const looked = await look()
    const leftMs = end - performance.now()
    if (!isWaitedFor(looked) || leftMs <= 0 || isOver()) return looked
    // Those that began to wait together do not all ask together.
    const jittered = pauseMs * (0.75 + Math.random() / 2)
    await pause(Math.min(jittered, leftMs))
  }
}

/** The pauses of all callers that wait, so that one word ends them: a signal of its own for each would outlive them. */
class Pauses {
  areOver = false
  readonly #enders = new Set<() => void>()

  /** Resolves after `ms`, when the signal is aborted, or when all pauses end. */
  pause(ms: number, signal: CallerSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#enders.delete(end)
        signal.removeEventListener('abort', left)
        resolve()
      }
      const left = { handleEvent: end }
      const timer = setTimeout(end, ms)
      this.#enders.add(end)
      signal.addEventListener('abort', left)
    })
  }

  end(): void {
    this.areOver = true
    for (const end of [...this.#enders]) end()
  }
}

/** A deadline that is over ends in an outcome like any other: it is on its way. */
function isWaitedFor({ kind }: Looked): boolean {
  return kind === 'accepted' || kind === 'timeout'
}

/** @throws Refusal 404, 410 */
function send(reply: FastifyReply, looked: Looked): Ending {
  switch (looked.kind) {
    case 'prediction':
      sendPrediction(reply, looked.accepted, looked.result)
      return endingOf(looked)
    case 'failure':
      sendFailure(reply, looked.accepted, looked.result)
      return endingOf(looked)
    case 'accepted':
    case 'timeout':
      sendAccepted(reply, looked.accepted)
      return endingOf({ kind: 'accepted', accepted: looked.accepted })
    case 'gone':
      throw gone(looked.token)
    case 'unknown':
      throw unknown()
  }
}

function gone(token: string): Refusal {
  const detail = `the event ${token} was answered, and its result is no longer kept`
  const remedy = 'Ask earlier, or have RESULTS keep more: operators find what became of it in the ledger.'
  return new Refusal(410, 'gone', detail, { code: 'gone', field: 'handle', remedy, headers: NO_STORE })
}

/** The same for what is signed by nobody, and for what another caller asked for: nobody learns which it is. */
function unknown(): Refusal {
  const detail = 'this is no result of yours'
  const remedy = 'Use the Location of the answer as it is, with the API key of its request.'
  return new Refusal(404, 'not found', detail, {
    code: 'not-found',
    field: 'handle',
    remedy,
    headers: NO_STORE,
  })
}

const NO_STORE = { 'cache-control': 'no-store' }
