import type { ModelRecord } from '../../../shared/operations/models/model-record.ts'
import type { Answer, Caller, InferenceRequest, Looked, Wanted } from './request.ts'

/** What the gateway knows of models: from the records of pools in the bucket `pelton-models`, never from a folder. */
export interface ModelDirectory {
  /** Whether the records were read: before, nothing is known not to be there. */
  readonly isRead: boolean
  find(pool: string, model: string): ModelRecord | undefined
  all(pool: string): readonly ModelRecord[]
  /** Versions of a model that some worker that is alive serves. */
  servedVersions(record: ModelRecord): readonly string[]
}

/** Requests in, events out, answers back: knows no protocol. */
export interface GatewayCore {
  readonly models: ModelDirectory
  /**
   * Makes an event of a request, and waits for its outcome as `wanted` says. A dead letter is an answer and no error.
   *
   * @throws PeltonError `unknown-model` before there is an event; `stream-full`, `too-large`, `invalid-argument`,
   *   `broker-unavailable`, `not-provisioned` as a producer does
   * @throws Refusal for a caller that may not, and what an idempotency key forbids
   */
  infer(request: InferenceRequest, wanted: Wanted): Promise<Answer>
  /** What became of the event behind a handle. @throws PeltonError `broker-unavailable` */
  lookUp(handle: string, caller: Caller): Promise<Looked>
}
