import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { findRunningBroker } from '../../../shared/operations/broker/running-broker.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { siblingEntry } from '../../../shared/runtime/source-entry.ts'
import { SERVICE_PATIENCE_MS } from '../../../shared/runtime/start-waiting.ts'
import { waitingAtTerminal } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'

export function controlCommand(): Command {
  return new Command('control')
    .summary('run the control service alone: watch, dead letters and replays over HTTP')
    .description(
      'Runs in the foreground until Ctrl-C, with its log on standard output. `pelton up` has one already; a cluster needs\n' +
        'one, and may have several: one of them watches. Settings: PELTON_CONTROL_… in docs/configuration.md.',
    )
    .addHelpText(
      'after',
      helpTail(['pelton control', 'PELTON_CONTROL_PORT=0 pelton control'], {
        ok: 'stopped by Ctrl-C: replays are paused, and go on at the next start',
        failed: 'the broker does not answer, or a stream of Pelton is missing',
      }),
    )
    .action(() => runCommand(control, 'stopping: replays are paused; Ctrl-C again to force', EXIT_CODES.ok))
}

/** A process of its own, as in a cluster; Ctrl-C reaches it only through this one. */
async function control({ env, terminal, signal, onForced }: CommandRun): Promise<number> {
  const broker = await findRunningBroker(env, terminal.note, {
    ...waitingAtTerminal(terminal.note, signal),
    patienceMs: SERVICE_PATIENCE_MS,
  })
  await broker.close()
  if (signal.aborted) return EXIT_CODES.ok
  const { url, execArgv } = siblingEntry(import.meta.url, '../../control/main')
  const child = spawn(process.execPath, [...execArgv, fileURLToPath(url)], {
    env: broker.env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  })
  signal.addEventListener('abort', () => void child.kill('SIGTERM'), { once: true })
  onForced(() => void child.kill('SIGKILL'))
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? EXIT_CODES.failed
}
