import { statfs } from 'node:fs/promises'
import { showBytes } from '../../shared/runtime/quantities.ts'
import type { EmbeddedBroker } from '../../shared/sdk/broker/server.ts'
import { messageOf, PeltonError } from '../../shared/sdk/errors.ts'

type Note = (text: string) => void

/** Restarts of the embedded broker in a row, each begun within a minute of the one before. */
const MAX_RESTARTS = 3
const HEALTHY_MS = 60_000

/**
 * An embedded broker that ends without being asked is started again, with its data and at its port; one that cannot
 * write any more because its disk was full, or cannot be started for that reason, is started again once there is room.
 *
 * @param onLost told when it cannot be kept running
 * @returns ends the watch
 */
export function keepRunning(
  broker: EmbeddedBroker,
  note: Note,
  onLost: (error: PeltonError) => void,
): () => void {
  let restarts = 0
  let startedAt = performance.now()
  const onExit = async ({ code, expected }: Awaited<EmbeddedBroker['exited']>): Promise<void> => {
    if (expected) return
    restarts = performance.now() - startedAt > HEALTHY_MS ? 1 : restarts + 1
    const log = `${broker.dataDir}/broker.log`
    if (restarts > MAX_RESTARTS) {
      const remedy = `Read the end of ${log}.`
      return onLost(new PeltonError('broker-unavailable', 'the embedded broker keeps ending', { remedy }))
    }
    note(`the broker ended (exit code ${code}); starting it again. Its log: ${log}`)
    startedAt = performance.now()
    const trouble = await restart()
    if (trouble !== undefined) disk.startLater(trouble)
  }
  /** @returns why it cannot be started while its disk is full */
  const restart = async (): Promise<string | undefined> => {
    try {
      await broker.restart()
      void broker.exited.then(onExit)
    } catch (thrown) {
      if (await isForRoom(thrown, broker.dataDir)) return (thrown as Error).message
      if (!(thrown instanceof PeltonError)) onLost(notStarted(thrown))
      else if (thrown.code !== 'closed') onLost(thrown)
    }
    return undefined
  }
  const disk = watchDisk(broker, note, restart)
  void broker.exited.then(onExit)
  return disk.stop
}

function notStarted(cause: unknown): PeltonError {
  const why = messageOf(cause)
  return new PeltonError('broker-unavailable', `the embedded broker cannot be started: ${why}`, {}, cause)
}

/** Whether room on the disk would help: the system says so, or the server did not start and there is none. */
async function isForRoom(thrown: unknown, dataDir: string): Promise<boolean> {
  if (thrown instanceof PeltonError && thrown.code !== 'broker-unavailable') return false
  if (isDiskFull(thrown)) return true
  const free = await freeBytes(dataDir)
  return thrown instanceof PeltonError && free !== undefined && free < ROOM_BYTES
}

function isDiskFull(thrown: unknown): boolean {
  const { code, cause } = (thrown ?? {}) as { readonly code?: unknown; readonly cause?: unknown }
  return code === 'ENOSPC' || code === 'EDQUOT' || (cause !== undefined && isDiskFull(cause))
}

const LOOK_MS = 2_000
/** Room there must be before a restart is worth it, bytes: the server rebuilds its indexes. */
const ROOM_BYTES = 32 * 1024 ** 2
const FIRST_PAUSE_MS = 5_000
const MAX_PAUSE_MS = 60_000

interface DiskWatch {
  /** The broker does not run, for want of room: it is started once there is some. */
  startLater(trouble: string): void
  stop(): void
}

/**
 * After a write error a stream takes nothing any more, also when there is room again, until its server restarts
 * (nats-server 2.15.1; publishers see only timeouts). The server says so at `/healthz`.
 */
function watchDisk(
  broker: EmbeddedBroker,
  note: Note,
  restart: () => Promise<string | undefined>,
): DiskWatch {
  let pauseMs = FIRST_PAUSE_MS
  let restartAt = 0
  let isTold = false
  /** Why it does not run. */
  let down: string | undefined
  const look = async (): Promise<void> => {
    const trouble = down ?? (await readWriteError(broker.monitorUrl))
    if (trouble === undefined) {
      if (isTold) note('the broker writes again')
      isTold = false
      if (performance.now() > restartAt + HEALTHY_MS) pauseMs = FIRST_PAUSE_MS
      return
    }
    const free = (await freeBytes(broker.dataDir)) ?? 0
    if (!isTold) note(outOfRoom(trouble, free, broker.dataDir))
    isTold = true
    if (free < ROOM_BYTES || performance.now() < restartAt) return
    note('restarting the broker: there is room again')
    restartAt = performance.now() + pauseMs
    pauseMs = Math.min(MAX_PAUSE_MS, 2 * pauseMs)
    down = await restart()
  }
  const stop = repeat(look)
  return {
    stop,
    startLater(trouble) {
      down = trouble
      restartAt = performance.now() + pauseMs
    },
  }
}

function outOfRoom(trouble: string, free: number, dataDir: string): string {
  return (
    `the broker cannot write: ${trouble}. Nothing is accepted, nothing accepted is lost. ` +
    `${showBytes(free)} are free in ${dataDir}; with ${showBytes(ROOM_BYTES)} it is restarted by itself.`
  )
}

/** Does something every two seconds, until it is stopped. Keeps no process alive. */
function repeat(work: () => Promise<void>): () => void {
  let isClosed = false
  let timer: NodeJS.Timeout | undefined
  const next = (): void => {
    if (isClosed) return
    timer = setTimeout(() => void work().finally(next), LOOK_MS)
    timer.unref()
  }
  next()
  return () => {
    isClosed = true
    clearTimeout(timer)
  }
}

/** Why the server cannot write, if it says so; undefined while it is well, or cannot be asked. */
export async function readWriteError(monitorUrl: string): Promise<string | undefined> {
  try {
    const response = await fetch(`${monitorUrl}/healthz`, { signal: AbortSignal.timeout(LOOK_MS) })
    const { error = '' } = (await response.json()) as { readonly error?: string }
    return /write error/.test(error) ? error : undefined
  } catch {
    return undefined
  }
}

/** Undefined where the folder cannot be asked. */
async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return bavail * bsize
  } catch {
    return undefined
  }
}
