export type {
  Features,
  FeatureValue,
  OutputRequest,
  Parameters,
  ParameterValue,
} from './contract/open-inference.ts'
export type { Lane } from './contract/subjects.ts'
export type { Datatype, Tensor, TensorData } from './contract/tensor.ts'
export { eventToken } from './contract/token.ts'
export {
  CHANNELS,
  type PublishTrace,
  type RefusedDiagnostics,
  type ResultDiagnostics,
} from './diagnostics.ts'
export { ERRORS, type ErrorCode, type ErrorDetails, PeltonError, REASONS, type Reason } from './errors.ts'
export type { EventToPublish, TensorInput, TensorValues } from './event-message.ts'
export type { ConnectionCause } from './jetstream/connection-cause.ts'
export type { SecurityOptions, TlsFiles } from './jetstream/security.ts'
export type { ConnectionTrouble } from './jetstream/trouble.ts'
export type { ConnectionOptions } from './link.ts'
export { createProducer, type Producer, type PublishDiagnostics, type Receipt } from './producer.ts'
export type { ProducerOptions } from './producer-settings.ts'
export type { Failure, Prediction, StoredResult } from './result.ts'
export {
  type BatchOptions,
  createSubscriber,
  type Include,
  type Result,
  type ResultOf,
  type Settling,
  type Subscriber,
  type SubscriberOptions,
} from './subscriber.ts'
export { type EventKey, type WaitOptions, waitFor } from './wait-for.ts'
