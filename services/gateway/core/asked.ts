import type { AskingRequest } from './door.ts'
import type { Deadline } from './event-of-request.ts'
import type { Handle } from './handles.ts'
import type { InferenceRequest, Wanted } from './request.ts'
import type { Wait } from './wait.ts'

/** A request under way. */
export interface Asked {
  readonly request: InferenceRequest
  readonly wanted: Wanted
  readonly handle: Pick<Handle, 'lane' | 'loweredFrom'>
  readonly source: string
  readonly deadline: Deadline
  readonly startedAt: number
  readonly wait: Wait
  /** Its event is being published: its place is taken until the stream has said something, or nothing for long. */
  isPublishing: boolean
  isOver: boolean
  /** Whether its event was there before: an earlier request had the same id or key. */
  isDuplicate: boolean
}

/** A request that has just begun. */
export function begun(
  request: InferenceRequest,
  wanted: Wanted,
  {
    handle,
    source,
    deadline,
    startedAt,
    wait,
  }: Pick<Asked, 'handle' | 'source' | 'deadline' | 'startedAt' | 'wait'>,
): Asked {
  return {
    request,
    wanted,
    handle,
    source,
    deadline,
    startedAt,
    wait,
    isPublishing: false,
    isOver: false,
    isDuplicate: false,
  }
}

/** What a request asks for that has begun: its deadline is what is left of it by now. @param die thrown once for all its looks */
export function askingOf(
  { request, handle: { lane }, source, deadline, startedAt }: Asked,
  die: number,
): AskingRequest {
  const { leftMs } = deadline
  const deadlineMs = leftMs && Math.max(0, leftMs - (performance.now() - startedAt))
  return { caller: request.caller, model: request.model, lane, source, deadlineMs, die }
}
