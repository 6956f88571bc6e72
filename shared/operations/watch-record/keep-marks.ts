import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { STREAMS } from '../../sdk/contract/topology.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { streamInfo } from '../../sdk/jetstream/api.ts'
import { readMarksOf, removeLeftTemporaries, writeMarks } from './durable-marks.ts'
import { type FeatureMarks, type Mark, Marking } from './marks.ts'

/** At most so long between two marks, milliseconds: what is stored after the last one is lost without a trace. */
const MOST_PAUSE_MS = 5_000

export interface KeepMarksOptions {
  readonly connection: NatsConnection
  readonly folder: string
  /** Between two marks, milliseconds; more than 5 s is taken as 5 s. */
  readonly everyMs: number
  /** Told when they cannot be written, and again once they can. */
  readonly onTrouble: (thrown: unknown) => void
  readonly onWritten: () => void
}

/**
 * Writes down how far FEATURES has come, again and again, outside of the broker. Several processes may do so in one
 * folder, for one broker or for several.
 */
export function keepMarks(options: KeepMarksOptions): { stop(): Promise<void> } {
  const stopped = new AbortController()
  const running = keepOn(options, stopped.signal)
  return {
    async stop() {
      stopped.abort()
      await running
    },
  }
}

async function keepOn(options: KeepMarksOptions, signal: AbortSignal): Promise<void> {
  const { folder, everyMs, onTrouble, onWritten } = options
  const marking = new Marking()
  let isInTrouble = false
  await removeLeftTemporaries(folder).catch(() => undefined) // writing there will say why not
  while (!signal.aborted) {
    try {
      await markOnce(options, marking)
      if (isInTrouble) onWritten()
      isInTrouble = false
    } catch (thrown) {
      if (!isInTrouble && !isAway(thrown)) onTrouble(thrown)
      isInTrouble ||= !isAway(thrown)
    }
    await sleep(Math.min(MOST_PAUSE_MS, everyMs), undefined, { signal }).catch(() => undefined)
  }
}

/** A broker that does not answer is told of by everybody else. */
function isAway(thrown: unknown): boolean {
  return thrown instanceof PeltonError && thrown.code === 'broker-unavailable'
}

async function markOnce({ connection, folder }: KeepMarksOptions, marking: Marking): Promise<void> {
  const features = await streamInfo(connection, STREAMS.features)
  if (features === undefined) return
  const ledger = (await streamInfo(connection, STREAMS.ledger))?.created ?? ''
  const { created: epoch, ts, state } = features
  const before = (await readMarksOf(folder, epoch))?.features
  const mark: Mark = [Date.parse(ts), state.last_seq]
  if (isLate(before, mark)) return
  await writeMarks(folder, { features: marking.add(before, epoch, mark), ledger })
}

/** Clocks of the servers of a cluster may differ so much. */
const CLOCKS_MS = 60_000

/** Whether another process has written down a later look meanwhile: an earlier one must not seem a step back. */
function isLate(before: FeatureMarks | undefined, [at, sequence]: Mark): boolean {
  const last = before?.marks.at(-1)
  return last !== undefined && sequence < last[1] && at <= last[0] && last[0] - at < CLOCKS_MS
}
