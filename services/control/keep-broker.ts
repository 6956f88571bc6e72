import { statfs } from 'node:fs/promises'
import type { EmbeddedBroker } from '../../shared/sdk/broker/server.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { showBytes } from './quantities.ts'

type Note = (text: string) => void

/** Restarts of the embedded broker in a row, each begun within a minute of the one before. */
const MAX_RESTARTS = 3
const HEALTHY_MS = 60_000

/**
 * An embedded broker that ends without being asked is started again, with its data and at its port; one that cannot
 * write any more because its disk was full is restarted once there is room.
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
    await restart()
  }
  const restart = async (): Promise<void> => {
    try {
      await broker.restart()
      void broker.exited.then(onExit)
    } catch (thrown) {
      if (thrown instanceof PeltonError && thrown.code !== 'closed') onLost(thrown)
    }
  }
  void broker.exited.then(onExit)
  return watchDisk(broker, note, restart)
}

const LOOK_MS = 2_000
/** Room there must be before a restart is worth it, bytes: the server rebuilds its indexes. */
const ROOM_BYTES = 32 * 1024 ** 2
const FIRST_PAUSE_MS = 5_000
const MAX_PAUSE_MS = 60_000

/**
 * After a write error a stream takes nothing any more, also when there is room again, until its server restarts
 * (nats-server 2.15.1; publishers see only timeouts). The server says so at `/healthz`.
 */
function watchDisk(broker: EmbeddedBroker, note: Note, restart: () => Promise<void>): () => void {
  let pauseMs = FIRST_PAUSE_MS
  let restartAt = 0
  let isTold = false
  const look = async (): Promise<void> => {
    const trouble = await readWriteError(broker.monitorUrl)
    if (trouble === undefined) {
      if (isTold) note('the broker writes again')
      isTold = false
      if (performance.now() > restartAt + HEALTHY_MS) pauseMs = FIRST_PAUSE_MS
      return
    }
    const free = await freeBytes(broker.dataDir)
    if (!isTold)
      note(
        `the broker cannot write: ${trouble}. Nothing is accepted, nothing accepted is lost. ` +
          `${showBytes(free)} are free in ${broker.dataDir}; with ${showBytes(ROOM_BYTES)} it is restarted by itself.`,
      )
    isTold = true
    if (free < ROOM_BYTES || performance.now() < restartAt) return
    note('restarting the broker: there is room again')
    restartAt = performance.now() + pauseMs
    pauseMs = Math.min(MAX_PAUSE_MS, 2 * pauseMs)
    await restart()
  }
  let isClosed = false
  let timer: NodeJS.Timeout | undefined
  const next = (): void => {
    if (isClosed) return
    timer = setTimeout(() => void look().finally(next), LOOK_MS)
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

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
