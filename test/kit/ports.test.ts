import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const script = fileURLToPath(new URL('ports-process.ts', import.meta.url))

describe('ports of tests', () => {
  it('differ, within a process and between processes, while nobody listens there yet', async () => {
    const processes = ['one', 'other'].map(() => spawn(process.execPath, ['--import', 'tsx', script]))
    try {
      const lines = processes.map(({ stdout }) => once(createInterface(stdout), 'line'))
      const ports = (await Promise.all(lines)).flatMap(([line]) => JSON.parse(line) as number[])
      // Of 12,000, 500 for each drawn blindly would meet some twenty times.
      expect(ports).toHaveLength(1_000)
      expect(new Set(ports).size).toBe(1_000)
    } finally {
      for (const child of processes) child.stdin.end()
      await Promise.all(processes.map((child) => once(child, 'exit')))
    }
  })
})
