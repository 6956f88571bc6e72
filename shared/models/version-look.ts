import { stat } from 'node:fs/promises'
import { GONE, stampOf, type VersionEntry } from './version-entry.ts'

/**
 * Looks at the files of a version that is refused, and notes what it saw.
 *
 * @returns `gone` where they have gone away, `try` where they are others than at the last try and no longer being copied, or
 *   where time may have mended what failed
 */
export async function lookAtRefused(folder: string, entry: VersionEntry): Promise<'gone' | 'try' | 'leave'> {
  const now = await stampOf(folder, entry)
  const isStill = now === entry.seen // what is being copied is not whole yet
  entry.seen = now
  if (now === GONE) return entry.tried === GONE ? 'leave' : 'gone'
  const mayBeMended =
    now === entry.tried
      ? entry.error?.code === 'model-unavailable' && performance.now() >= entry.nextTry
      : isStill
  return mayBeMended ? 'try' : 'leave'
}

/**
 * Looks whether the copy of a version that is served is there, and notes what it saw of its folder.
 *
 * @param isCompared whether its folder is compared with what is served also where the copy is there
 * @returns `lost` where the copy is gone and may be made again, `changed` where the folder holds something else than is served
 */
export async function lookAtServed(
  folder: string,
  entry: VersionEntry,
  isCompared: boolean,
): Promise<'lost' | 'changed' | 'leave'> {
  const isThere = entry.served !== undefined && (await isFile(entry.served.path))
  if (isThere && !isCompared) return 'leave'
  const now = await stampOf(folder, entry)
  const isNew = now !== entry.tried && now !== entry.seen
  entry.seen = now
  if (now === GONE) return 'leave'
  if (!isThere) return 'lost'
  return isNew ? 'changed' : 'leave'
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
