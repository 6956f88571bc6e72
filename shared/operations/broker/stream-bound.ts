import type { StreamInfo } from '../../sdk/jetstream/api.ts'

/** A bound of a stream by its name in the configuration, in its own unit; Infinity where it has none. */
export function boundOf(
  { config }: Pick<StreamInfo, 'config'>,
  limit: 'max_msgs' | 'max_bytes' | 'max_age' | 'max_msgs_per_subject',
): number {
  const most = Number(config[limit] ?? -1)
  return most > 0 ? most : Number.POSITIVE_INFINITY
}
