import { Command } from 'commander'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { helpTail, runCommand } from '../command-run.ts'
import { runAlone } from '../run-alone.ts'

export function gatewayCommand(): Command {
  return new Command('gateway')
    .summary('run a gateway alone: the Open Inference Protocol over HTTP')
    .description(
      'Runs in the foreground until Ctrl-C, with its log on standard output. `pelton up` has one already; in a cluster any\n' +
        'number of them share the load. On another address than loopback every request needs a key of `pelton keys create`.\n' +
        'Settings: PELTON_GATEWAY_… in docs/configuration.md; what it answers: docs/http.md.',
    )
    .addHelpText(
      'after',
      helpTail(['pelton gateway', 'PELTON_GATEWAY_HOST=0.0.0.0 PELTON_HTTP_PORT=9090 pelton gateway'], {
        ok: 'stopped by Ctrl-C: every request under way was answered',
        failed: 'the broker does not answer, or a stream of Pelton is missing',
      }),
    )
    .action(() =>
      runCommand(
        (run) => runAlone(run, 'gateway'),
        'stopping: requests under way are answered; Ctrl-C again to force',
        EXIT_CODES.ok,
      ),
    )
}
