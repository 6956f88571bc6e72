import { expect, vi } from 'vitest'
import { runCommand } from '../command.ts'

export interface RunningProcess {
  readonly pid: number
  readonly parent: number
}

/** All processes but those that have ended and wait for whoever inherited them to notice. */
export async function runningProcesses(): Promise<readonly RunningProcess[]> {
  const table = await runCommand('ps', ['-A', '-o', 'pid=,ppid=,stat='], {
    env: process.env,
    timeoutMs: 10_000,
  })
  const rows = table
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  return rows
    .filter(([, , state]) => state?.startsWith('Z') === false)
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }))
}

export async function isRunning(pid: number): Promise<boolean> {
  return (await runningProcesses()).some((one) => one.pid === pid)
}

/** Waits until the process has ended; fails when it does not. */
export function gone(pid: number): Promise<void> {
  const check = async () => expect(await isRunning(pid), `process ${pid} runs`).toBe(false)
  return vi.waitFor(check, { timeout: 20_000, interval: 50 })
}
