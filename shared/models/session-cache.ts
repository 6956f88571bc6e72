import type { Session } from './session.ts'
import type { ModelFile, SessionLimits } from './thread-messages.ts'

/** The sessions of one thread, by key. Calls must not overlap: a session is closed while nothing runs. */
export interface SessionCache {
  /** The session of this model, opened when it is not. Throws what opening throws; nothing is kept then. */
  take(model: ModelFile): Promise<Session>
  /** Whether the session under this key is open. */
  has(key: string): boolean
  /** Closes the session under this key, if there is one. */
  drop(key: string): Promise<void>
  /** Closes all. */
  clear(): Promise<void>
  readonly openCount: number
}

/** Opens a model and says how large its file is. */
export type OpenModel = (model: ModelFile) => Promise<{ session: Session; fileBytes: number }>

/**
 * A bounded cache of sessions: with hundreds of models, only those in use stay in memory.
 *
 * @param onEvicted told of each that is closed for want of room
 */
export function createSessionCache(
  open: OpenModel,
  limits: SessionLimits = {},
  onEvicted: (key: string) => void = () => undefined,
): SessionCache {
  const { maxOpen = 64, maxFileBytes = 2 ** 30 } = limits
  // A Map keeps the order of insertion; a session that is used moves to the end.
  const entries = new Map<string, { session: Session; fileBytes: number }>()
  let fileBytes = 0

  async function drop(key: string): Promise<void> {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    fileBytes -= entry.fileBytes
    await entry.session.release()
  }

  async function evict(): Promise<void> {
    // The newest stays whatever its size, or a model above the limit could never run.
    while (entries.size > 1 && (entries.size > maxOpen || fileBytes > maxFileBytes)) {
      const [oldest] = entries.keys()
      if (oldest === undefined) return
      await drop(oldest)
      onEvicted(oldest)
    }
  }

  return {
    async take(model) {
      const known = entries.get(model.key)
      if (known !== undefined) {
        entries.delete(model.key)
        entries.set(model.key, known)
        return known.session
      }
      const opened = await open(model)
      entries.set(model.key, opened)
      fileBytes += opened.fileBytes
      await evict()
      return opened.session
    },
    has: (key) => entries.has(key),
    drop,
    async clear() {
      for (const key of [...entries.keys()]) await drop(key)
    },
    get openCount() {
      return entries.size
    },
  }
}
