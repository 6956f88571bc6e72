import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { findRunningBroker } from '../../shared/operations/broker/running-broker.ts'
import { eventHeapFlags } from '../../shared/runtime/heap-flags.ts'
import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { SERVICE_PATIENCE_MS } from '../../shared/runtime/start-waiting.ts'
import { waitingAtTerminal } from './broker.ts'
import type { CommandRun } from './command-run.ts'

/**
 * Runs a service alone, in a process of its own as in a cluster; Ctrl-C reaches it only through this one.
 *
 * @param service name of its folder
 * @returns its exit code
 */
export async function runAlone(
  { env, terminal, signal, onForced }: CommandRun,
  service: 'control' | 'gateway',
): Promise<number> {
  const broker = await findRunningBroker(env, terminal.note, {
    ...waitingAtTerminal(terminal.note, signal),
    patienceMs: SERVICE_PATIENCE_MS,
  })
  await broker.close()
  if (signal.aborted) return EXIT_CODES.ok
  const { url, execArgv } = siblingEntry(import.meta.url, `../${service}/main`)
  const heap = service === 'gateway' ? eventHeapFlags(env) : []
  const child = spawn(process.execPath, [...heap, ...execArgv, fileURLToPath(url)], {
    env: broker.env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  })
  signal.addEventListener('abort', () => void child.kill('SIGTERM'), { once: true })
  onForced(() => void child.kill('SIGKILL'))
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? EXIT_CODES.failed
}
