import type { Tensor } from '../sdk/contract/tensor.ts'
import { openModel } from './open-model.ts'
import { createSessionCache } from './session-cache.ts'
import type { SessionLimits, ThreadRequest } from './thread-messages.ts'
import { withhold } from './withheld.ts'

/** What answers requests where models run: in an inference thread, or in a process of a model's own. */
export interface RequestServer {
  /**
   * Answers one request; calls must not overlap. `runMs` is how long the run took, the opening of the model excluded.
   *
   * @throws PeltonError `inference-failed`, `model-unavailable`
   */
  serve(request: ThreadRequest): Promise<{ readonly outputs: readonly Tensor[]; readonly runMs?: number }>
  /** Closes all models. */
  clear(): Promise<void>
}

/** What a request does to the models that are open: its own is opened, is open now, or another was closed for it. */
export type Told = { readonly kind: 'opening' | 'opened' } | { readonly kind: 'closed'; readonly key: string }

export function createRequestServer(
  limits: SessionLimits,
  tell: (told: Told) => void = () => undefined,
): RequestServer {
  const sessions = createSessionCache(openModel, limits, (key) => tell({ kind: 'closed', key }))
  return {
    async serve(request) {
      if (request.kind === 'unload') {
        await sessions.drop(request.key)
        return { outputs: [] }
      }
      const isOpen = sessions.has(request.model.key)
      if (!isOpen) tell({ kind: 'opening' })
      const session = await sessions.take(request.model)
      if (!isOpen) tell({ kind: 'opened' })
      if (request.kind === 'load') return { outputs: [] }
      const startedMs = performance.now()
      const made = await session.run(request.inputs, request.outputNames)
      const runMs = performance.now() - startedMs
      return { outputs: request.bound === undefined ? made : withhold(made, request.bound), runMs }
    },
    clear: () => sessions.clear(),
  }
}
