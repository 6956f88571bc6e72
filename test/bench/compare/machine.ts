import { execFile } from 'node:child_process'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { ensureBroker } from '../../../shared/sdk/broker/obtain.ts'
import { busyShare } from './cpu.ts'

/** Where it was measured, and what else went on there. */
export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  readonly system: string
  readonly node: string
  readonly natsServer: string
  /** Cores everything was pinned to. */
  readonly pinnedTo?: string
  /** Load averages of 1, 5 and 15 minutes before the first run. */
  readonly load: readonly number[]
  /** Part of all cores that others had in the second before the first run, 0 to 1. */
  readonly busy: number
}

/** From this part on, other work is told of. */
export const BUSY = 0.05

export async function readMachine(pinnedTo: string | undefined): Promise<Machine> {
  const { version } = await ensureBroker({ note: (text) => process.stderr.write(`${text}\n`) })
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
    natsServer: version,
    ...(pinnedTo !== undefined && { pinnedTo }),
    load: loadavg(),
    busy: await busyShare(1_000, sleep),
  }
}

/** Pins this process, and with it everything it starts, to cores: `0,1`. Needs util-linux. */
export async function pinTo(list: string): Promise<void> {
  await promisify(execFile)('taskset', ['-a', '-p', '-c', list, String(process.pid)])
}
