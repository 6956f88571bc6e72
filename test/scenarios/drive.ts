import { readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Punctuality } from '../bench/compare/pacing.ts'
import { peakOf } from '../scale/stage.ts'
import type { BackfillEnd } from './contestants/backfill.ts'
import type { Opened, OpenWish } from './contestants/contestant.ts'
import { boundsOf, type Phase, steady } from './load/schedule.ts'
import {
  type Account,
  accountOf,
  accountOfSource,
  type Fates,
  notClosed,
  recoveredAfter,
  type Second,
  timelineOf,
} from './measure/account.ts'
import type { OtherSource } from './measure/bars.ts'
import { type CpuShares, startMeter } from './measure/cpu.ts'
import { voidReasons } from './measure/verdict.ts'

export const DEADLINE_MS = 250
export const HIGH_SHARE = 0.2
/** Four deadlines: who waits longer has given up. */
const PATIENCE_MS = 4 * DEADLINE_MS

/** A load on a contestant, and what came of it. */
export interface Run {
  readonly name: string
  /** Of the phase that is looked at, events a second. */
  readonly offeredPerSecond: number
  /** Predictions in time a second, of that phase. */
  readonly goodputPerSecond: number
  /** Of that phase. */
  readonly account: Account
  /** Of the whole load, which is what has to close. */
  readonly whole: Account
  readonly timeline: readonly Second[]
  /** Seconds of the timeline that the phase has. */
  readonly fromSecond: number
  readonly toSecond: number
  /** Of the events of the source that is not hot: before the phase, and in it; undefined where no source is. */
  readonly other: OtherSource | undefined
  /** Whether what is of source `hot` was for a model that fails on everything. */
  readonly hotFails: boolean
  /** What became of what was to be done beside it; undefined where nothing was. */
  readonly backfilled: BackfillEnd | undefined
  /** Seconds after the phase until all is carried again; undefined where it never was, or nothing follows. */
  readonly recoveredAfterSeconds: number | undefined
  readonly punctuality: Punctuality
  readonly cpu: CpuShares
  /** Resident memory of everything but the generator at its highest since it began, MiB. */
  readonly peakMiB: number
  /** Open descriptors of the same, at most. */
  readonly descriptors: number
  /** What refusals and failures said, and how often. */
  readonly said: Readonly<Record<string, number>>
  /** What the audit found that followed; undefined where it was clean, and where there is none. */
  readonly alarm: string | undefined
  /** Why it does not count; empty where it does. */
  readonly void: readonly string[]
}

export interface RunWish extends Omit<OpenWish, 'carries'> {
  readonly name: string
  readonly phases: readonly Phase[]
  /** Name of the phase whose account is shown. */
  readonly shown: string
  readonly settleSeconds: number
  /** What the contestant carries, where the phase that is shown offers just that. */
  readonly capacity?: number
  /** When its broker is killed and started again, milliseconds after the load begins. @default it is not */
  readonly restartsAtMs?: number
  /** Whether it has to account for everything afterwards. @default it does not */
  readonly isAudited?: boolean
}

let runs = 0

/** Drives a contestant and takes account of it. */
export async function driveRun(opened: Opened, wish: RunWish): Promise<Run> {
  const load = { phases: wish.phases, highShare: HIGH_SHARE, deadlineMs: DEADLINE_MS }
  const drive = { ...load, run: `run-${runs++}`, patienceMs: PATIENCE_MS }
  const since = await startMeter(() => opened.roles, opened.threadNames)
  const watch = watchDescriptors(serversOf(opened))
  const driving = opened.generator.drive(drive)
  if (wish.backfill !== undefined) opened.backfill?.begin()
  if (wish.restartsAtMs !== undefined) {
    await sleep(wish.restartsAtMs)
    await opened.restartBroker?.()
  }
  const driven = await driving
  const cpu = await since()
  await opened.backfill?.ended()
  await opened.settle(1_000 * wish.settleSeconds)
  const descriptors = await watch.stop()
  const { fates, stored, backfilled } = await opened.outcomesOf(drive, driven)
  const alarm = wish.isAudited === true ? await opened.audit?.() : undefined
  const { lateMs, clockMovedMs, said } = driven
  const punctuality = { lateMs, clockMovedMs }
  const whole = accountOf(load, fates)
  const shown = shownOf(wish, load, fates)
  const open = notClosed(whole, stored)
  const atCapacity =
    wish.capacity === undefined
      ? {}
      : { atCapacity: { goodput: shown.goodputPerSecond, capacity: wish.capacity } }
  return {
    ...{ name: wish.name, whole, punctuality, cpu, descriptors, alarm, said: Object.fromEntries(said) },
    ...shown,
    ...{ hotFails: wish.hotFails === true, backfilled },
    peakMiB: await peakOf(serversOf(opened)),
    void: voidReasons({ punctuality, notClosed: open, others: cpu.others, ...atCapacity }),
  }
}

type ShownRun = Pick<
  Run,
  | 'offeredPerSecond'
  | 'goodputPerSecond'
  | 'account'
  | 'timeline'
  | 'fromSecond'
  | 'toSecond'
  | 'other'
  | 'recoveredAfterSeconds'
>

function shownOf({ phases, shown }: RunWish, load: Parameters<typeof accountOf>[0], fates: Fates): ShownRun {
  const bounds = boundsOf(phases).find(({ name }) => name === shown)
  if (bounds === undefined) throw new Error(`no phase is called ${shown}`)
  const seconds = (bounds.toMs - bounds.fromMs) / 1_000
  const account = accountOf(load, fates, bounds)
  const timeline = timelineOf(load, fates)
  const isHot = phases.some(({ hotShare = 0 }) => hotShare > 0)
  return {
    ...{ fromSecond: Math.ceil(bounds.fromMs / 1_000), toSecond: Math.floor(bounds.toMs / 1_000) },
    other: isHot
      ? {
          alone: accountOfSource(load, fates, 'other', { fromMs: 0, toMs: bounds.fromMs }),
          beside: accountOfSource(load, fates, 'other', bounds),
        }
      : undefined,
    offeredPerSecond: account.all.offered / seconds,
    goodputPerSecond: account.all.inTime / seconds,
    account,
    timeline,
    recoveredAfterSeconds: recoveredAfter(timeline, Math.ceil(bounds.toMs / 1_000)),
  }
}

/** Warms a contestant up: nothing of it counts. */
export async function warmUp(opened: Opened, perSecond: number, seconds: number): Promise<void> {
  await driveRun(opened, {
    name: 'warm-up',
    phases: [steady('warm-up', perSecond, seconds)],
    shown: 'warm-up',
    settleSeconds: 5,
  })
}

/** Who ask, and do not answer. */
const ASKING = new Set(['generator', 'replay'])

const serversOf = ({ roles }: Opened): readonly number[] =>
  Object.entries(roles).flatMap(([role, pids]) => (ASKING.has(role) ? [] : pids))

const LOOK_EVERY_MS = 500

/** The most descriptors that some processes have open together. */
function watchDescriptors(pids: readonly number[]): { stop(): Promise<number> } {
  let most = 0
  const look = async (): Promise<void> => {
    const counts = await Promise.all(
      pids.map((pid) =>
        readdir(`/proc/${pid}/fd`).then(
          ({ length }) => length,
          () => 0,
        ),
      ),
    )
    most = Math.max(
      most,
      counts.reduce((sum, each) => sum + each, 0),
    )
  }
  const timer = setInterval(() => void look(), LOOK_EVERY_MS)
  return {
    async stop() {
      clearInterval(timer)
      await look()
      return most
    },
  }
}
