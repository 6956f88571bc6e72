import { Command } from 'commander'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { helpTail, runCommand } from '../command-run.ts'
import { runAlone } from '../run-alone.ts'

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
    .action(() =>
      runCommand(
        (run) => runAlone(run, 'control'),
        'stopping: replays are paused; Ctrl-C again to force',
        EXIT_CODES.ok,
      ),
    )
}
