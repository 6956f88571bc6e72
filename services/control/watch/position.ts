import type { ReadPosition } from '../../../shared/operations/watch-record/record.ts'
import type { StreamInfo } from '../../../shared/sdk/jetstream/api.ts'

/** Where to read on; from the beginning in a stream that was made anew. */
export function positionIn(info: StreamInfo | undefined, before: ReadPosition): ReadPosition {
  const epoch = info?.created ?? before.epoch
  return epoch === before.epoch ? before : { epoch, next: 1 }
}
