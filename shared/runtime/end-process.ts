import { setTimeout as sleep } from 'node:timers/promises'

/** How long threads may take to end before nothing waits for them, milliseconds. */
const THREADS_MS = 1_000

/** How long the supervisor may take to hear of it, milliseconds. */
const HEARD_MS = 500

/**
 * Ends this process, whatever its threads do. `process.exit()` joins every thread there is, and so would wait for ever for
 * one that is inside a run that never returns. Where the threads have ended the process exits with `code`; where one has
 * not, it tells its supervisor the code and ends by SIGKILL, which nothing waits for.
 *
 * @param closeThreads asks the threads to end; resolves with whether all of them have
 */
export async function endProcess(code: number, closeThreads: () => Promise<boolean>): Promise<never> {
  const closed = closeThreads().catch(() => false)
  if (await Promise.race([closed, sleep(THREADS_MS, false)])) process.exit(code)
  await Promise.race([tellSupervisor({ kind: 'ending', code }), sleep(HEARD_MS)])
  process.kill(process.pid, 'SIGKILL')
  return await new Promise<never>(() => undefined)
}

/** Sends a message to the supervisor, if there is one; resolves when it is on its way. */
async function tellSupervisor(message: object): Promise<void> {
  if (!process.connected) return
  await new Promise<void>((resolve) => {
    process.send?.(message, undefined, undefined, () => resolve())
  })
}
