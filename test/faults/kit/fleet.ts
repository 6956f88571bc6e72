import { setTimeout as sleep } from 'node:timers/promises'
import {
  startWorkerProcess,
  type WorkerProcess,
  type WorkerProcessOptions,
} from '../../kit/worker-process.ts'

/** Worker processes under a supervisor: one that ends, however, is replaced at once. */
export interface Fleet {
  /** Those that are up, oldest first. */
  readonly workers: readonly WorkerProcess[]
  /** How workers ended, in order: exit code or signal. */
  readonly ends: readonly (number | NodeJS.Signals)[]
  /** Workers that ended before they were ready, and why: a broker that is away, say. */
  readonly failedStarts: readonly string[]
  /** Lines of the logs of all workers there ever were. */
  logLines(): Readonly<Record<string, unknown>>[]
  /** The one that is up in this place (0 to size - 1); waits for it. */
  inPlace(place: number): Promise<WorkerProcess>
  /** One more, in a place of its own from now on; resolves with it when it is up. */
  grow(): Promise<WorkerProcess>
  /** Resolves when as many are up as there shall be. */
  whole(): Promise<void>
  /** One of those that are up, chosen by the seed; waits for one. */
  pick(): Promise<WorkerProcess>
  /** Ends one with a signal and waits for its end. Without `worker`, the seed chooses. */
  end(signal: NodeJS.Signals, worker?: WorkerProcess): Promise<WorkerProcess>
  /** Ends all with SIGKILL and starts no more. Resolves when all have ended; may be called again. */
  stop(): Promise<void>
}

export interface FleetOptions {
  readonly size: number
  readonly random: () => number
  /** How the worker in this place (0 to size - 1) is started. */
  readonly start: (place: number) => WorkerProcessOptions
}

/** Failed starts before the first worker is up, after which nobody waits any longer. */
const MAX_FIRST_STARTS = 5

const PAUSE_AFTER_FAILED_START_MS = 500

export function createFleet({ size, random, start }: FleetOptions): Fleet {
  const workers: WorkerProcess[] = []
  const places = new Map<number, WorkerProcess>()
  const kept: Promise<void>[] = []
  const all: WorkerProcess[] = []
  const ends: (number | NodeJS.Signals)[] = []
  const failedStarts: string[] = []
  let onChange: (() => void)[] = []
  let isStopped = false

  function changed(): void {
    const told = onChange
    onChange = []
    for (const tell of told) tell()
  }
  async function until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (isStopped) throw new Error('the fleet is stopped')
      if (all.length === 0 && failedStarts.length >= MAX_FIRST_STARTS)
        throw new Error(`no worker comes up: ${failedStarts.at(-1)?.slice(0, 2_000)}`)
      await new Promise<void>((resolve) => onChange.push(resolve))
    }
  }
  async function runOnce(place: number): Promise<void> {
    const worker = await startWorkerProcess(start(place))
    if (isStopped) worker.kill('SIGKILL')
    workers.push(worker)
    places.set(place, worker)
    all.push(worker)
    changed()
    const how = await worker.ended
    places.delete(place)
    workers.splice(workers.indexOf(worker), 1)
    ends.push(how)
    changed()
  }
  async function keep(place: number): Promise<void> {
    while (!isStopped) {
      await runOnce(place).catch(async (thrown: unknown) => {
        failedStarts.push(String(thrown))
        changed()
        await sleep(PAUSE_AFTER_FAILED_START_MS)
      })
    }
  }
  async function inPlace(place: number): Promise<WorkerProcess> {
    await until(() => places.has(place))
    return places.get(place) as WorkerProcess
  }
  for (let place = 0; place < size; place++) kept.push(keep(place))
  async function pick(): Promise<WorkerProcess> {
    await until(() => workers.length > 0)
    return workers[Math.floor(random() * workers.length)] as WorkerProcess
  }

  return {
    workers,
    ends,
    failedStarts,
    logLines: () => all.flatMap(({ log }) => log),
    inPlace,
    async grow() {
      const place = kept.length
      kept.push(keep(place))
      return inPlace(place)
    },
    whole: () => until(() => workers.length === kept.length),
    pick,
    async end(signal, worker) {
      const ended = worker ?? (await pick())
      ended.kill(signal)
      await ended.ended
      return ended
    },
    async stop() {
      isStopped = true
      changed()
      for (const worker of workers) worker.kill('SIGKILL')
      await Promise.all(kept)
    },
  }
}
