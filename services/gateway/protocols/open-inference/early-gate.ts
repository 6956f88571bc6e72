import type { IncomingMessage } from 'node:http'
import type { EndedRequest } from '../../core/figures.ts'
import type { Caller } from '../../core/request.ts'
import type { RunningCore } from '../../core/running-core.ts'
import { refusedEarly } from '../../http/count-ended.ts'
import type { EarlyGate } from '../../http/early-refusals.ts'
import { type ScanLimits, scanRequest } from '../scan-request.ts'
import { MODELS_PATH, readModelPath } from './model-path.ts'
import { readSchedule } from './read-request.ts'

export interface EarlyGateParts {
  /** Undefined while there is none. */
  core(): RunningCore | undefined
  /** Who sends a request, where that is known at once. */
  callerOf(request: IncomingMessage): Caller | undefined
  readonly limits: ScanLimits
  /** Told of each that is refused, as figures are of those that had a route. */
  onRefused(request: IncomingMessage, ended: EndedRequest): void
}

const COUNTED = { protocol: 'open-inference' } as const
/** Paths that are remembered: callers ask few models, each the same way. */
const MOST_PATHS = 1_000
/** What makes a request one of those that need more than a look. */
const NOT_PLAIN = ['idempotency-key', 'prefer', 'inference-header-content-length'] as const

/**
 * Looks at requests of the protocol for a model of which the most unfavourable would be refused. Whatever is not as most are
 * goes on: other versions, answers later, raw tensors, idempotency keys, and what is wrong, for which its route has words.
 */
export function earlyGate({ core, callerOf, limits, onRefused }: EarlyGateParts): EarlyGate {
  const modelOf = rememberPaths()
  return (request) => {
    const model = modelOf(request.url ?? '')
    const running = core()
    if (model === undefined || running === undefined) return undefined
    const { headers } = request
    if (NOT_PLAIN.some((name) => headers[name] !== undefined)) return undefined
    const caller = callerOf(request)
    if (caller === undefined || !running.mayRefuse(caller, model)) return undefined
    const startedAt = performance.now()
    return (body) => {
      const schedule = readOrNothing(body, limits)
      const refusal = schedule && running.refuse({ caller, model, ...schedule })
      if (refusal !== undefined) onRefused(request, refusedEarly(COUNTED, refusal, model, startedAt))
      return refusal
    }
  }
}

/** Undefined for what is wrong: its route says how. */
function readOrNothing(body: Uint8Array, limits: ScanLimits): ReturnType<typeof readSchedule> | undefined {
  try {
    return readSchedule(scanRequest(body, limits))
  } catch {
    return undefined
  }
}

/** The model of `POST …/infer` by its path; undefined for any other path. */
function rememberPaths(): (url: string) => string | undefined {
  const known = new Map<string, string | undefined>()
  return (url) => {
    if (known.has(url)) return known.get(url)
    const model = readPath(url)
    if (known.size < MOST_PATHS) known.set(url, model)
    return model
  }
}

function readPath(url: string): string | undefined {
  if (!url.startsWith(MODELS_PATH) || /[?#]/.test(url)) return undefined
  try {
    const path = readModelPath(url.slice(MODELS_PATH.length))
    return path?.act === 'infer' && path.version === undefined ? path.model : undefined
  } catch {
    return undefined // its route says what is wrong
  }
}
