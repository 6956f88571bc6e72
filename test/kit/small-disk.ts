import { execFile } from 'node:child_process'
import { mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A file system of its own with few megabytes, in memory. */
export interface SmallDisk {
  readonly path: string
  /** Bytes that can still be written. */
  freeBytes(): Promise<number>
  /** Takes all room that is left, or all but `leaveBytes`. */
  fill(leaveBytes?: number): Promise<void>
  /** Gives back what {@link SmallDisk.fill} took. */
  free(): Promise<void>
  /** Unmounts and removes it. May be called again. */
  remove(): Promise<void>
}

const BALLAST = 'ballast'
const BLOCK_BYTES = 1024 * 1024

/** Why this machine can have no small disk; undefined where it can. */
export async function noSmallDisk(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'a file system of a fixed size needs Linux'
  if (process.getuid?.() !== 0) return 'a file system of a fixed size needs root'
  try {
    await (await openSmallDisk(1)).remove()
    return undefined
  } catch {
    return 'this machine lets nobody mount a file system'
  }
}

/** Mounts a tmpfs of `megabytes`. Whoever opens it removes it. @throws Error where {@link noSmallDisk} gives a reason */
export async function openSmallDisk(megabytes: number): Promise<SmallDisk> {
  const path = await mkdtemp(join(tmpdir(), 'pelton-disk-'))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'pelton-small-disk', path])
  } catch (thrown) {
    await rm(path, { recursive: true, force: true })
    throw thrown
  }
  const ballast = join(path, BALLAST)
  let isMounted = true
  const freeBytes = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  }
  return {
    path,
    freeBytes,
    fill: async (leaveBytes = 0) => appendUntil(ballast, async () => (await freeBytes()) - leaveBytes),
    free: () => rm(ballast, { force: true }),
    remove: async () => {
      if (!isMounted) return
      // Lazily: a process that has just been killed may hold a file for a moment longer.
      await run('umount', ['--lazy', path])
      isMounted = false
      await rm(path, { recursive: true, force: true })
    },
  }
}

/** Writes blocks until `roomBytes` is used up, or the file system says so itself. */
async function appendUntil(path: string, roomBytes: () => Promise<number>): Promise<void> {
  const file = await open(path, 'a')
  try {
    for (let room = await roomBytes(); room > 0; room = await roomBytes()) {
      await file.write(Buffer.alloc(Math.min(BLOCK_BYTES, room), 1))
    }
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown
  } finally {
    await file.close()
  }
}
