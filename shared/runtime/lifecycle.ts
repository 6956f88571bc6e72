import type { Logger } from 'pino'

/** `starting → ready → draining → stopped`, or `failed` from anywhere. */
export type State = 'starting' | 'ready' | 'draining' | 'stopped' | 'failed'

/** How a service's process ends. */
export const EXIT_CODES = {
  ok: 0,
  /** It could not start or went on failing; the log says why. */
  failed: 1,
  /** Its settings or arguments cannot be used. */
  usage: 2,
  /** A second signal, or the grace period was over: it enters `failed`, and what it held is handed out again. */
  forced: 3,
} as const

/** What a process runs. */
export interface Service {
  /** Resolves when the service ended by itself, which is a failure, or after `stop`. */
  readonly run: () => Promise<void>
  /** Drains: finishes and settles what is held. */
  readonly stop: () => Promise<void>
  /** Gives up draining. Must return at once. */
  readonly abort: () => void
}

export interface LifecycleOptions {
  readonly log: Logger
  /** How long a drain may take, milliseconds. */
  readonly graceMs: number
  readonly onState?: (state: State) => void
}

/**
 * Runs a service until SIGTERM or SIGINT, then drains it. A second signal or the end of the grace period forces,
 * also while the service still starts.
 *
 * @param start gets a signal that is aborted by the first of these: a start that throws its reason has ended in peace, as it
 *   holds nothing yet
 * @returns the exit code
 */
export async function runService(
  start: (stopping: AbortSignal) => Promise<Service>,
  options: LifecycleOptions,
): Promise<number> {
  const { log, graceMs, onState } = options
  const enter = (state: State): void => {
    log.info({ state }, 'lifecycle')
    onState?.(state)
  }
  const signals = createSignals()
  const stopping = new AbortController()
  void signals.first.then((signal) => stopping.abort(new Error(`ended by ${signal} while it started`)))
  const forced = (because: string): number => {
    log.warn({ because }, 'forced: what is still held is handed out again')
    enter('failed')
    return EXIT_CODES.forced
  }
  enter('starting')
  try {
    const overdue = Promise.race([signals.second, signals.first.then(() => after(graceMs))])
    const service = await Promise.race([start(stopping.signal), overdue])
    if (typeof service === 'string') return forced(service)
    enter('ready')
    const ended = service.run()
    const because = await Promise.race([ended, signals.first])
    if (because === undefined) throw new Error('the service ended by itself')
    enter('draining')
    const drained = service.stop().then(() => ended)
    const late = await Promise.race([drained, signals.second, after(graceMs)])
    if (late === undefined) {
      enter('stopped')
      return EXIT_CODES.ok
    }
    service.abort()
    return forced(late)
  } catch (thrown) {
    if (stopping.signal.aborted && thrown === stopping.signal.reason) {
      enter('stopped')
      return EXIT_CODES.ok
    }
    log.fatal({ err: thrown }, 'failed')
    enter('failed')
    return EXIT_CODES.failed
  } finally {
    signals.close()
  }
}

function after(graceMs: number): Promise<string> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(`the grace period of ${graceMs} ms is over`), graceMs).unref()
  })
}

interface Signals {
  readonly first: Promise<string>
  readonly second: Promise<string>
  close(): void
}

function createSignals(): Signals {
  const received: string[] = []
  const waiting: ((signal: string) => void)[] = []
  const onSignal = (signal: NodeJS.Signals): void => {
    received.push(signal)
    waiting[received.length - 1]?.(received.length === 1 ? signal : `a second ${signal}`)
  }
  const onOrphaned = (): void => {
    if (received.length === 0) onSignal('SIGTERM') // the supervisor is gone: drain
  }
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal).on('disconnect', onOrphaned)
  return {
    first: new Promise((resolve) => waiting.push(resolve)),
    second: new Promise((resolve) => waiting.push(resolve)),
    close: () => void process.off('SIGTERM', onSignal).off('SIGINT', onSignal).off('disconnect', onOrphaned),
  }
}
