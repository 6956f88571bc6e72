const LOOK_EVERY_MS = 250

/**
 * Under npx, calls `stop` once when the process that started this one is gone. npx puts a shell in between and sends
 * signals to that shell only: where it does not become the program it starts, it ends and leaves this process behind.
 *
 * @returns ends the watch; may be called twice
 */
export function onNpxGone(env: NodeJS.ProcessEnv, stop: () => void): () => void {
  if (env.npm_lifecycle_event !== 'npx') return () => undefined
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    stop()
  }, LOOK_EVERY_MS)
  timer.unref()
  return () => clearInterval(timer)
}
