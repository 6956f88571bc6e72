import { BUCKETS, encodeSegment, type Lane } from './subjects.ts'

/** Subjects with wildcards, as rights name them. */
export const patterns = {
  /** Events of a lane, of any pool and model. */
  features: (lane: Lane): string => `features.*.*.${lane}`,
  /** Retries of a pool, of any model and lane. */
  retries: (pool: string): string => `retries.${encodeSegment(pool, 'pool')}.*.*.*`,
  /** Start marks of all events. */
  startMarks: (): string => `$KV.${BUCKETS.starts}.*`,
  /** Marks of dead letters that an operator removed. */
  removalMarks: (): string => `$KV.${BUCKETS.starts}.removed.*`,
  /** Records of what operators do. */
  replayRecords: (): string => `$KV.${BUCKETS.replays}.>`,
  /** All that gateways keep of requests. */
  gatewayRecords: (): string => `$KV.${BUCKETS.requests}.>`,
  /** Records of the models of a pool, or of every pool. */
  modelRecords: (pool?: string): string => `$KV.${BUCKETS.models}.model.${poolOf(pool)}.*`,
  /** Presence of the workers of a pool. */
  workerPresences: (pool: string): string => `$KV.${BUCKETS.models}.worker.${poolOf(pool)}.*`,
  /** Wake-ups of producers that answer many callers. */
  replies: (): string => '_pelton.reply.>',
  /** What a pool, or every pool, says of how busy it is with each of its models. */
  flow: (pool?: string): string => `pelton.flow.${poolOf(pool)}.*`,
} as const

function poolOf(pool: string | undefined): string {
  return pool === undefined ? '*' : encodeSegment(pool, 'pool')
}
