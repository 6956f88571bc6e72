import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { siblingEntry } from '../runtime/source-entry.ts'

/**
 * Starts a process that runs models, because only killing a process ends a run: the entry `name` beside the module that asks.
 * It is spoken to by its channel alone, and tensors go through that as they are.
 */
export function startModelProcess(importMetaUrl: string, name: string): ChildProcess {
  const { url, execArgv } = siblingEntry(importMetaUrl, name)
  return spawn(process.execPath, [...execArgv, fileURLToPath(url)], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    serialization: 'advanced',
    env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
  })
}
