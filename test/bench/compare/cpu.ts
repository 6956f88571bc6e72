import { readdir, readFile } from 'node:fs/promises'
import { cpus } from 'node:os'

/** What is metered. Linux alone tells all of it. */
export interface MeteredProcesses {
  readonly worker: number
  readonly brokers: readonly number[]
  readonly generator?: number | undefined
  /** File in which the worker's JavaScript threads say which they are (thread-name.cjs). */
  readonly threadNames: string
}

/** A thread of the worker. */
interface Thread {
  /** Its name for Linux, which Node gives to some of its own. */
  readonly comm: string
  readonly us: number
}

/** Processor time used up to a moment, microseconds. */
export interface Snapshot {
  readonly atMs: number
  readonly threads: ReadonlyMap<string, Thread>
  readonly brokerUs: number
  readonly generatorUs: number | undefined
  readonly ownUs: number
  readonly busyUs: number
}

/** Processor time between two moments. */
export interface CpuTime {
  /** Microseconds by whose they were: `worker`, `worker.main`, `worker.<entry of a thread>`, `broker`, `generator`. */
  readonly us: Readonly<Record<string, number>>
  /** Part of the machine that others had, 0 to 1. */
  readonly others: number
}

/** A tick of /proc on every Linux that Node runs on (USER_HZ), microseconds. */
const TICK_US = 10_000

/** Meters processes from now on: the returned function tells what they have used since. */
export async function startMeter(processes: MeteredProcesses): Promise<() => Promise<CpuTime>> {
  const before = await snapshot(processes)
  return async () => {
    const after = await snapshot(processes)
    const names = parseThreadNames(await readFile(processes.threadNames, 'utf8'), processes.worker)
    return timeBetween(before, after, names, cpus().length)
  }
}

/** Part of the machine that was busy for some time, 0 to 1: before anything of ours runs. */
export async function busyShare(forMs: number, wait: (ms: number) => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  const before = await busyUs()
  await wait(forMs)
  return ((await busyUs()) - before) / (1_000 * (performance.now() - startedAt) * cpus().length)
}

/** @param names of the JavaScript threads, by thread id */
export function timeBetween(
  before: Snapshot,
  after: Snapshot,
  names: ReadonlyMap<string, string>,
  cores: number,
): CpuTime {
  const threads: Record<string, number> = {}
  let workerUs = 0
  for (const [tid, { comm, us: usedUs }] of after.threads) {
    const sinceUs = usedUs - (before.threads.get(tid)?.us ?? 0)
    const name = `worker.${names.get(tid) ?? nativeName(comm)}`
    workerUs += sinceUs
    threads[name] = (threads[name] ?? 0) + sinceUs
  }
  const brokerUs = after.brokerUs - before.brokerUs
  const generatorUs = (after.generatorUs ?? 0) - (before.generatorUs ?? 0)
  const oursUs = workerUs + brokerUs + generatorUs + after.ownUs - before.ownUs
  const wallUs = 1_000 * (after.atMs - before.atMs) * cores
  return {
    us: {
      worker: workerUs,
      ...threads,
      broker: brokerUs,
      ...(after.generatorUs !== undefined && { generator: generatorUs }),
    },
    others: Math.max(0, (after.busyUs - before.busyUs - oursUs) / wallUs),
  }
}

/** Threads of V8, libuv and the ONNX runtime carry the name of the process, unless this Node names its own. */
function nativeName(comm: string): string {
  return comm === 'node' || comm === 'MainThread' ? 'native' : comm
}

async function snapshot({ worker, brokers, generator }: MeteredProcesses): Promise<Snapshot> {
  const [threads, ofBrokers, generatorUs, busy] = await Promise.all([
    threadTimes(worker),
    Promise.all(brokers.map(processUs)),
    generator === undefined ? undefined : processUs(generator),
    busyUs(),
  ])
  const { user, system } = process.cpuUsage()
  const brokerUs = ofBrokers.reduce((sum, us) => sum + us, 0)
  return { atMs: performance.now(), threads, brokerUs, generatorUs, ownUs: user + system, busyUs: busy }
}

/** What each thread of a process has used so far. */
export async function threadTimes(pid: number): Promise<ReadonlyMap<string, Thread>> {
  const folder = `/proc/${pid}/task`
  const times = (await readdir(folder)).map(async (tid): Promise<[string, Thread][]> => {
    const stat = await readFile(`${folder}/${tid}/stat`, 'utf8').catch(() => undefined)
    if (stat === undefined) return [] // it has ended since
    const { name, us } = parseStat(stat)
    const exact = await readFile(`${folder}/${tid}/schedstat`, 'utf8').catch(() => undefined)
    return [[tid, { comm: name, us: exact === undefined ? us : parseSchedstat(exact) }]]
  })
  return new Map((await Promise.all(times)).flat())
}

/** What a process has used so far, microseconds: threads that ended included. */
export async function processUs(pid: number): Promise<number> {
  return parseStat(await readFile(`/proc/${pid}/stat`, 'utf8')).us
}

async function busyUs(): Promise<number> {
  return parseBusy(await readFile('/proc/stat', 'utf8'))
}

/** Name, and microseconds on a processor so far, of `/proc/<pid>/stat` or `/proc/<pid>/task/<tid>/stat`. */
export function parseStat(text: string): { readonly name: string; readonly us: number } {
  // A name may hold spaces and brackets: the last bracket ends it.
  const end = text.lastIndexOf(')')
  const fields = text.slice(end + 2).split(' ')
  return {
    name: text.slice(text.indexOf('(') + 1, end),
    us: TICK_US * (Number(fields[11]) + Number(fields[12])),
  }
}

/** The same of `/proc/<pid>/task/<tid>/schedstat`: exact where `stat` counts ticks of 10 ms. Not every kernel has it. */
export function parseSchedstat(text: string): number {
  return Number(text.split(' ')[0]) / 1_000
}

/** Microseconds that all processors were busy so far, or taken away by the host, of `/proc/stat`. */
export function parseBusy(text: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (text.split('\n')[0] ?? '')
    .replace(/^cpu +/, '')
    .split(' ')
    .map(Number)
  return TICK_US * (user + nice + system + irq + softirq + steal)
}

/**
 * Labels by thread id of what thread-name.cjs notes, `<pid> <tid> <label>`: a line for each JavaScript thread of the
 * process and of those it started.
 */
export function parseThreadNames(text: string, pid: number): ReadonlyMap<string, string> {
  return new Map(
    text
      .split('\n')
      .map((line) => line.split(' '))
      .filter(([of]) => of === String(pid))
      .map(([, tid = '', label = '']) => [tid, label]),
  )
}
