import { readFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { parseBusy, parseThreadNames, threadTimes } from '../../bench/compare/cpu.ts'

/** Processes by what they are: `worker`, `broker`. */
export type Roles = Readonly<Record<string, readonly number[]>>

/** Where processor time went between two moments. */
export interface CpuShares {
  /** Cores' worth of each role: 1 is one core, busy all the time. */
  readonly cores: Readonly<Record<string, number>>
  /** Of the inference threads together, where they are known by name. */
  readonly inferenceCores: number | undefined
  /** Part of the machine that others had, 0 to 1. */
  readonly others: number
}

/** Thread ids and what each has used, microseconds. */
type Used = ReadonlyMap<string, number>

interface Snapshot {
  readonly atMs: number
  readonly roles: Readonly<Record<string, Used>>
  readonly ownUs: number
  readonly busyUs: number
}

/** Entries of a worker's threads that run models. */
const INFERENCE_THREADS = /^inference-thread/

/**
 * Meters processes from now on; the returned function tells where processor time went since.
 *
 * @param rolesNow asked at both moments: a process may be replaced in between
 * @param threadNames file in which the worker's threads say which they are (test/bench/compare/thread-name.cjs)
 */
export async function startMeter(
  rolesNow: () => Roles,
  threadNames?: string,
): Promise<() => Promise<CpuShares>> {
  const before = await snapshot(rolesNow())
  return async () => {
    const roles = rolesNow()
    const after = await snapshot(roles)
    const wallUs = 1_000 * (after.atMs - before.atMs)
    const us = Object.fromEntries(
      Object.keys(roles).map((role) => [role, usedBetween(before.roles[role], after.roles[role])]),
    )
    const oursUs = Object.values(us).reduce((sum, each) => sum + each, after.ownUs - before.ownUs)
    const named = threadNames === undefined ? undefined : await inferenceUs(threadNames, roles, before, after)
    return {
      cores: Object.fromEntries(Object.entries(us).map(([role, each]) => [role, each / wallUs])),
      inferenceCores: named === undefined ? undefined : named / wallUs,
      others: Math.max(0, (after.busyUs - before.busyUs - oursUs) / (wallUs * cpus().length)),
    }
  }
}

async function inferenceUs(
  file: string,
  { worker = [] }: Roles,
  before: Snapshot,
  after: Snapshot,
): Promise<number> {
  const names = parseThreadNames(await readFile(file, 'utf8'), worker[0] ?? 0)
  const isInference = ([tid]: readonly [string, number]): boolean =>
    INFERENCE_THREADS.test(names.get(tid) ?? '')
  const used = new Map([...(after.roles.worker ?? [])].filter(isInference))
  return usedBetween(before.roles.worker, used)
}

function usedBetween(before: Used = new Map(), after: Used = new Map()): number {
  return [...after].reduce((sum, [tid, us]) => sum + us - (before.get(tid) ?? 0), 0)
}

async function snapshot(roles: Roles): Promise<Snapshot> {
  const times = Object.entries(roles).map(async ([role, pids]) => {
    const each = await Promise.all(pids.map((pid) => threadTimes(pid).catch(() => new Map<string, never>())))
    const used = each.flatMap((threads) => [...threads].map(([tid, { us }]): [string, number] => [tid, us]))
    return [role, new Map(used)] as const
  })
  const { user, system } = process.cpuUsage()
  return {
    roles: Object.fromEntries(await Promise.all(times)),
    ownUs: user + system,
    busyUs: parseBusy(await readFile('/proc/stat', 'utf8')),
    atMs: performance.now(),
  }
}
