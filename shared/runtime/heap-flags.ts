/** By flag, megabytes. */
const EVENT_HEAP = {
  '--max-semi-space-size': 32,
  '--min-semi-space-size': 16,
  '--initial-old-space-size': 96,
} as const

/**
 * Arguments of `node` for a process through which many small events go. Each of them lives for some ten milliseconds, in a dozen
 * objects: in V8's default of 16 MB for young objects most are copied twice and then taken for old ones, and a heap that began
 * small is collected whole every few thousand events. With more room for young objects, and a heap that may grow to some size
 * before it is collected whole, most of this is not done at all.
 *
 * @param env what `NODE_OPTIONS` says of a flag stands
 */
export function eventHeapFlags({ NODE_OPTIONS: given = '' }: NodeJS.ProcessEnv = process.env): string[] {
  return Object.entries(EVENT_HEAP)
    .filter(([flag]) => !given.includes(flag))
    .map(([flag, megabytes]) => `${flag}=${megabytes}`)
}
