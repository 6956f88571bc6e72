import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { onNpxGone } from './npx-gone.ts'
import { createTerminal, type Terminal } from './terminal.ts'

/** What every command works with. */
export interface CommandRun {
  readonly terminal: Terminal
  readonly env: NodeJS.ProcessEnv
  /** Aborted by the first Ctrl-C or SIGTERM: finish what is under way, begin nothing new. */
  readonly signal: AbortSignal
  /** Calls `end` just before a second Ctrl-C ends the process: what this command started must not outlive it. */
  onForced(end: () => void): void
}

/**
 * Runs the work of a command until it is done. The first Ctrl-C aborts its signal, the second ends the process. A channel to
 * the process that started this one (`npm run pelton` has one) aborts it too when it closes; that counts as no Ctrl-C,
 * because the same request may also come as a signal.
 *
 * @param work returns the exit code
 * @param onStopping what the first Ctrl-C says
 * @param stoppedEarly exit code where that ended the wait for a broker, and nothing was done
 */
export async function runCommand(
  work: (run: CommandRun) => Promise<number>,
  onStopping = 'stopping; Ctrl-C again to force',
  stoppedEarly: number = EXIT_CODES.failed,
): Promise<void> {
  const terminal = await createTerminal()
  const interrupted = new AbortController()
  const ends: (() => void)[] = []
  let signals = 0
  const stop = (): void => {
    if (interrupted.signal.aborted) return
    terminal.note(onStopping)
    interrupted.abort()
  }
  const onInterrupt = (): void => {
    if (++signals > 1) {
      for (const end of ends) end()
      process.exit(EXIT_CODES.forced)
    }
    stop()
  }
  process.on('SIGINT', onInterrupt).on('SIGTERM', onInterrupt).on('disconnect', stop)
  if (process.connected === false) stop()
  const endWatch = onNpxGone(process.env, stop)
  try {
    const onForced = (end: () => void): void => void ends.push(end)
    const { signal } = interrupted
    process.exitCode = await work({ terminal, env: process.env, signal, onForced })
  } catch (thrown) {
    if (!interrupted.signal.aborted || thrown !== interrupted.signal.reason) throw thrown
    terminal.note('stopped before the broker could be used')
    process.exitCode = stoppedEarly
  } finally {
    endWatch()
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt).off('disconnect', stop)
  }
}

/** How a person calls this program: through npx, through npm in a clone, else by its name. */
export function programName(env: NodeJS.ProcessEnv): string {
  if (env.npm_lifecycle_event === 'npx') return 'npx pelton-server'
  return env.npm_lifecycle_event === 'pelton' || env.npm_lifecycle_event === 'start'
    ? 'npm run -s pelton --'
    : 'pelton'
}

/** Help text behind the options: examples, and how the command ends. */
export function helpTail(
  examples: readonly string[],
  codes: { readonly failed: string; readonly ok?: string },
): string {
  return [
    '',
    'Examples:',
    ...examples.map((example) => `  $ ${example}`),
    '',
    'Exit codes:',
    `  0  ${codes.ok ?? 'done'}`,
    `  1  ${codes.failed}`,
    '  2  arguments or settings cannot be used',
    '  3  forced by a second Ctrl-C',
  ].join('\n')
}
