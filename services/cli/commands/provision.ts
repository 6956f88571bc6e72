import { Command } from 'commander'
import type { UsedBroker } from '../../../shared/operations/broker/running-broker.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { provision } from '../../../shared/sdk/jetstream/provision.ts'
import { waitingAtTerminal, withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { addSettingOptions, withOptions } from '../setting-options.ts'
import { readTopology, TOPOLOGY_SETTINGS } from '../topology-settings.ts'

interface ProvisionArguments extends Readonly<Record<string, unknown>> {
  readonly pool: readonly string[]
  readonly dryRun?: boolean
}

export function provisionCommand(): Command {
  const command = new Command('provision')
    .summary("create Pelton's streams and consumers on a broker, or let their limits grow")
    .description(
      'Creates what is missing and lets limits grow; limits somebody made larger stay. Safe to run again. Refuses a\n' +
        'change that could lose events, and makes nothing where the account does not allow all of it. Prints what it\n' +
        'changed.',
    )
    .option('--pool <name...>', 'pools to create consumers for', ['default'])
    .option('--dry-run', 'print what would be made or changed, or all that is in the way; make nothing')
  return addSettingOptions(command, TOPOLOGY_SETTINGS)
    .addHelpText(
      'after',
      helpTail(
        [
          'pelton provision',
          'pelton provision --dry-run',
          'pelton provision --replicas 3 --results-max-messages 1000000 --pool default gpu',
        ],
        {
          failed:
            'the broker does not answer, differs in a way whose change could lose events, or its account does not allow it',
        },
      ),
    )
    .action((options: ProvisionArguments) => runCommand((run) => provisionBroker(run, options)))
}

async function provisionBroker(run: CommandRun, options: ProvisionArguments): Promise<number> {
  const topology = readTopology(withOptions(run.env, TOPOLOGY_SETTINGS, options))
  const work = async ({ connection }: UsedBroker): Promise<number> => {
    let changes = 0
    await provision(connection, {
      topology,
      pools: options.pool,
      isDry: options.dryRun === true,
      signal: run.signal,
      note: (text) => {
        changes++
        run.terminal.print(text)
      },
    })
    if (changes === 0) run.terminal.print('nothing to change')
    return EXIT_CODES.ok
  }
  return withBroker(run, work, waitingAtTerminal(run.terminal.note, run.signal))
}
