import type { ConsumerInfo, StreamInfo } from '../../sdk/jetstream/api.ts'
import { boundOf } from './stream-bound.ts'

/** Broker memory per result, bytes: `npm run bench:register` measures it. */
export const RESULT_MEMORY_BYTES = 450

/** Between two attempts at an event, milliseconds: what a manifest allows where it says nothing, and a parked event waits. */
const LONGEST_RETRY_MS = 30_000

/** How late an outcome of an event may still be written, after its first. */
export interface LatestWriter {
  /** How long a worker may hold a delivery without a sign of life, milliseconds. */
  readonly ackWaitMs: number
  /** The longest wait between two attempts, milliseconds. */
  readonly longestRetryMs: number
  /** How late a producer may send an event again with the same id, milliseconds. */
  readonly resendMs: number
}

/** How long RESULTS must remember the outcome of an event so that no late writer finds its register empty, milliseconds. */
export function mustLiveMs({ ackWaitMs, longestRetryMs, resendMs }: LatestWriter): number {
  return ackWaitMs + longestRetryMs + resendMs
}

/** What RESULTS needs at a rate. */
export interface RegisterNeeds {
  /** For `PELTON_RESULTS_MAX_MESSAGES`. */
  readonly messages: number
  /** For `PELTON_RESULTS_MAX_AGE_MS`. */
  readonly ageMs: number
  /** Broker memory for that many, bytes, on each server that holds a copy. */
  readonly memoryBytes: number
}

/** @param perSecond results stored a second: one for each event */
export function registerNeeds(perSecond: number, writer: LatestWriter): RegisterNeeds {
  const ageMs = mustLiveMs(writer)
  const messages = Math.ceil((perSecond * ageMs) / 1_000)
  return { messages, ageMs, memoryBytes: messages * RESULT_MEMORY_BYTES }
}

/** What RESULTS holds, and may hold. */
export interface RegisterState {
  /** Results kept at most; Infinity without a limit. */
  readonly maxMessages: number
  /** Bytes of results kept at most; Infinity without a limit. */
  readonly maxBytes: number
  /** How long they are kept at most, milliseconds; Infinity without a limit. */
  readonly maxAgeMs: number
  readonly messages: number
  /** Of one result on average; 0 where there is none. */
  readonly bytesEach: number
  /** Age of the oldest, milliseconds; Infinity where there is none. */
  readonly oldestMs: number
  /** Whether results leave because there are too many, or too many bytes of them. */
  readonly isFull: boolean
  /** Whether it is for their bytes. */
  readonly isFullOfBytes: boolean
}

/** Reads it from the stream's state. Pure. */
export function registerState(info: StreamInfo): RegisterState {
  const { state, ts } = info
  const [maxMessages, maxBytes] = [boundOf(info, 'max_msgs'), boundOf(info, 'max_bytes')]
  const first = state.first_ts
  const isEmpty = state.messages === 0 || first === undefined
  const isFullOfBytes = state.bytes >= 0.99 * maxBytes
  return {
    maxMessages,
    maxBytes,
    maxAgeMs: boundOf(info, 'max_age') / 1e6,
    messages: state.messages,
    bytesEach: state.bytes / Math.max(1, state.messages),
    oldestMs: isEmpty ? Number.POSITIVE_INFINITY : Math.max(0, Date.parse(ts) - Date.parse(first)),
    isFull: state.messages >= maxMessages || isFullOfBytes,
    isFullOfBytes,
  }
}

/** How long a result lives in RESULTS at a rate, milliseconds: no longer than its age limit, nor than it takes to fill it. */
export function livesMs(
  { maxMessages, maxBytes, bytesEach, maxAgeMs, oldestMs, isFull }: RegisterState,
  perSecond: number,
): number {
  const most = Math.min(maxMessages, maxBytes / bytesEach)
  const untilFull = perSecond > 0 ? (most / perSecond) * 1_000 : Number.POSITIVE_INFINITY
  return Math.min(maxAgeMs, untilFull, isFull ? oldestMs : Number.POSITIVE_INFINITY)
}

/**
 * The settings that let RESULTS remember outcomes for long enough, each with the value it needs.
 *
 * @param needs what it needs at a rate
 */
export function wantedSettings(
  state: RegisterState,
  { messages, ageMs, memoryBytes }: RegisterNeeds,
): readonly RegisterSetting[] {
  const bytes = Math.ceil(messages * state.bytesEach)
  const isFullOfMessages = state.isFull && !state.isFullOfBytes
  return [
    ...(state.maxMessages < messages || isFullOfMessages
      ? [{ setting: 'PELTON_RESULTS_MAX_MESSAGES', value: messages, memoryBytes }]
      : []),
    ...(state.maxBytes < bytes || state.isFullOfBytes
      ? [{ setting: 'PELTON_RESULTS_MAX_BYTES', value: bytes }]
      : []),
    ...(state.maxAgeMs < ageMs ? [{ setting: 'PELTON_RESULTS_MAX_AGE_MS', value: ageMs }] : []),
  ]
}

export interface RegisterSetting {
  readonly setting: string
  readonly value: number
  /** What it costs each server that holds a copy, bytes of memory. */
  readonly memoryBytes?: number
}

/** @param consumers those that hand out events: the longest `ack_wait` of them counts */
export function latestWriter(
  consumers: readonly Pick<ConsumerInfo, 'config'>[],
  resendMs: number,
): LatestWriter {
  const ackWaitMs = Math.max(0, ...consumers.map(({ config }) => Number(config.ack_wait ?? 0) / 1e6))
  return { ackWaitMs, longestRetryMs: LONGEST_RETRY_MS, resendMs }
}
