import type { Lane } from '../../../shared/sdk/contract/subjects.ts'

/** A request that ended, however it did. */
export interface EndedRequest {
  /** Undefined where no served model was named. */
  readonly model: string | undefined
  readonly modelVersion: string | undefined
  readonly protocol: 'open-inference' | 'cloudevents' | 'results'
  /** `left`: the caller was gone before the answer, and the run was for nobody. */
  readonly ended: 'prediction' | 'failure' | 'accepted' | 'timeout' | 'refused' | 'left'
  readonly status: number
  /** Reason of a failure, code or title of a refusal: of a closed set. */
  readonly reason: string | undefined
  readonly durationMs: number
  /** Of a prediction: from being stored to being started, and the run, milliseconds. */
  readonly queueMs: number | undefined
  readonly inferenceMs: number | undefined
  /** Rows of this request, where its protocol knows them: without, its run counts as one of its own. */
  readonly rows?: number | undefined
  /** Rows of all events that shared the run. */
  readonly batchRows: number | undefined
}

/** A request that was not let in, or would not have been. */
export interface RefusedRequest {
  readonly pool: string
  /** Undefined where nobody serves what was named. */
  readonly model: string | undefined
  readonly lane: Lane
  readonly limit: string
  /** False where the model's admission is only observed: it was let in. */
  readonly isEnforced: boolean
}

/** Where requests are counted: for metrics, and for the statistics of the Open Inference Protocol. */
export interface Figures {
  ended(request: EndedRequest): void
}
