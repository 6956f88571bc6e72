import { fromHalfBits } from './contract/float16.ts'
import { decodeAttribute, HEADERS, type Headers, readHeader } from './contract/headers.ts'
import { decodeResponse } from './contract/open-inference.ts'
import { readRegistered } from './contract/registered.ts'
import { readOutcomeSubject, tokenOfSubject } from './contract/subjects.ts'
import type { Tensor } from './contract/tensor.ts'
import { PeltonError, type Reason, showValue } from './errors.ts'

interface Answered {
  /** Id of the event: what its producer gave, and what `publish()` returned. */
  readonly id: string
  /** Identity of the event over models and sources: the same as in the receipt of `publish()`. */
  readonly token: string
  readonly model: string
  /** How often Pelton had started to predict the event, from 1. */
  readonly attempt: number
  /** When the outcome was made, by the broker's clock. */
  readonly time: Date
  /** Sequence of the event in FEATURES. */
  readonly eventSequence: number
  /** Trace context of the event. */
  readonly traceparent: string | undefined
  /** All headers, names in lower case. */
  readonly headers: Headers
  /** The body as it lies in the stream. */
  readonly body: Uint8Array
}

export interface Prediction extends Answered {
  readonly kind: 'prediction'
  readonly modelVersion: string
  /**
   * The model's outputs, decoded when first read.
   *
   * @throws PeltonError `malformed` or `schema-mismatch` when the body is not an Open Inference Protocol response
   */
  readonly outputs: readonly Tensor[]
  /** From being stored to being started, milliseconds. */
  readonly queueMs: number
  readonly inferenceMs: number
  /** Rows of all events that shared the model call. */
  readonly batchRows: number
  /** Why a lesser model was used, if so. Reserved: no worker uses one yet, and it is always undefined. */
  readonly degraded: string | undefined
  /** Whether an earlier answer was used. Reserved: no worker keeps answers yet, and it is always false. */
  readonly cached: boolean
  /**
   * The one value of an output.
   *
   * @throws PeltonError `invalid-argument` when there is no such output or it has more than one element
   */
  value(output: string): number | bigint | string | boolean
}

/** What became of an event that could not be predicted: its dead letter is kept for operators. */
export interface Failure extends Answered {
  readonly kind: 'failure'
  /** One of the closed set. A newer worker may know more. */
  readonly reason: Reason | (string & {})
  /** What is wrong, where, and what to do. */
  readonly description: string
  /** Where it failed: `guard`, `decode`, `validate`, `batch` (while it waited for its run), `infer` or `publish`. */
  readonly stage: string
}

/** The one outcome of an event. */
export type StoredResult = Prediction | Failure

/**
 * Reads a message of RESULTS, or a wake-up copy of one.
 *
 * @returns `undefined` for a message that is not an outcome, or one of a newer major of the contract
 */
export function readResult(subject: string, headers: Headers, body: Uint8Array): StoredResult | undefined {
  const outcome = readRegistered(headers, tokenOfSubject(subject))
  if (outcome === 'prediction') return new ReadPrediction(subject, headers, body)
  return outcome === 'dead-letter' ? new ReadFailure(subject, headers, body) : undefined
}

/** Results are made by the tens of thousands: objects of one shape, whose fields are all their own. */
abstract class ReadOutcome implements Answered {
  readonly id: string
  readonly token: string
  readonly model: string
  readonly attempt: number
  readonly time: Date
  readonly eventSequence: number
  readonly traceparent: string | undefined
  readonly headers: Headers
  readonly body: Uint8Array

  constructor(subject: string, headers: Headers, body: Uint8Array) {
    const place = readOutcomeSubject(subject)
    const origin = readHeader(headers, HEADERS.origin) ?? ''
    this.id = decodeAttribute(readHeader(headers, HEADERS.correlationId) ?? '') ?? ''
    this.token = readHeader(headers, HEADERS.token) ?? place?.token ?? ''
    this.model = place?.model ?? ''
    this.attempt = readNumber(headers, HEADERS.attempt)
    this.time = new Date(readHeader(headers, HEADERS.time) ?? Number.NaN)
    this.eventSequence = Number(origin.slice(origin.lastIndexOf(' ') + 1) || Number.NaN)
    this.traceparent = readHeader(headers, HEADERS.traceparent)
    this.headers = headers
    this.body = body
  }
}

class ReadFailure extends ReadOutcome implements Failure {
  readonly kind = 'failure'
  readonly reason: Failure['reason']
  readonly description: string
  readonly stage: string

  constructor(subject: string, headers: Headers, body: Uint8Array) {
    super(subject, headers, body)
    this.reason = readHeader(headers, HEADERS.deadLetterReason) ?? 'undeliverable'
    this.description = readHeader(headers, HEADERS.deadLetterDescription) ?? ''
    this.stage = readHeader(headers, HEADERS.stage) ?? ''
  }
}

class ReadPrediction extends ReadOutcome implements Prediction {
  readonly kind = 'prediction'
  readonly modelVersion: string
  readonly queueMs: number
  readonly inferenceMs: number
  readonly batchRows: number
  readonly degraded: string | undefined
  readonly cached: boolean
  declare readonly outputs: readonly Tensor[]
  readonly value: (output: string) => number | bigint | string | boolean
  #decoded: readonly Tensor[] | undefined

  constructor(subject: string, headers: Headers, body: Uint8Array) {
    super(subject, headers, body)
    this.modelVersion = readHeader(headers, HEADERS.modelVersion) ?? ''
    this.queueMs = readNumber(headers, HEADERS.queueMs)
    this.inferenceMs = readNumber(headers, HEADERS.inferenceMs)
    this.batchRows = readNumber(headers, HEADERS.batchRows)
    this.degraded = readHeader(headers, HEADERS.degraded)
    this.cached = readHeader(headers, HEADERS.cached) === 'true'
    // A field of its own, as the others: copied and written with them. All share one getter, which keeps their shape.
    Object.defineProperty(this, 'outputs', ReadPrediction.#OUTPUTS)
    this.value = (output) => oneValue(this.outputs, output)
  }

  static readonly #OUTPUTS = {
    enumerable: true,
    get(this: ReadPrediction): readonly Tensor[] {
      // A proxy of it has its fields, and none that is private.
      if (!(#decoded in this)) return decodeOutputs(this)
      this.#decoded ??= decodeOutputs(this)
      return this.#decoded
    },
  }
}

function decodeOutputs({ headers, body }: Answered): readonly Tensor[] {
  const length = readHeader(headers, HEADERS.inferenceHeaderLength)
  return decodeResponse(readHeader(headers, HEADERS.dataContentType), length, body).outputs
}

/** NaN where the header is missing. */
function readNumber(headers: Headers, name: string): number {
  return Number(readHeader(headers, name) ?? Number.NaN)
}

function oneValue(outputs: readonly Tensor[], name: string): number | bigint | string | boolean {
  const tensor = outputs.find((output) => output.name === name)
  const [value] = tensor?.data ?? []
  if (tensor === undefined || value === undefined || tensor.data.length !== 1) {
    const problem =
      tensor === undefined ? 'the prediction has no such output' : 'this output is not one value'
    throw new PeltonError('invalid-argument', problem, {
      field: 'output',
      value: tensor === undefined ? showValue(name) : `${name} ${showValue(tensor.shape)}`,
      remedy:
        tensor === undefined
          ? `Its outputs are ${outputs.map((output) => output.name).join(', ')}.`
          : 'Read its tensor from outputs.',
    })
  }
  if (tensor.datatype === 'BOOL') return value === 1
  return tensor.datatype === 'FP16' ? fromHalfBits(Number(value)) : value
}
