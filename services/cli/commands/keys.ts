import { Command } from 'commander'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { helpTail, runCommand } from '../command-run.ts'
import type { CreateArguments } from '../keys/create.ts'
import { lane } from '../option-values.ts'

const FAILED = { failed: 'the broker does not answer, or refuses it' }

export function keysCommand(): Command {
  return new Command('keys')
    .summary('make, list and revoke the API keys of the gateway')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand())
}

function createCommand(): Command {
  const usual: Lane = 'normal'
  return new Command('create')
    .summary('make a key, and print it this once')
    .description(
      'Prints the key alone on standard output, and nowhere again: the broker keeps a hash of it. Callers send it as\n' +
        '`Authorization: Bearer <key>` or `x-api-key: <key>`.',
    )
    .argument('<name>', 'whose it is, for people; several keys may have the same')
    .option('--model <name...>', 'models it may ask, by their exact names')
    .option('--all-models', 'it may ask every model of its pool, also those still to come')
    .option('--pool <name>', 'pool its events go to', 'default')
    .option('--lane <lane>', 'highest lane; what asks for a higher one is lowered', lane, usual)
    .option('--quota-class <class>', 'class of its quota, which PELTON_GATEWAY_QUOTAS of the gateways sets')
    .option('--by <name>', 'who makes it, for the record')
    .option('--json', 'the key and what is kept of it, as one JSON object')
    .addHelpText(
      'after',
      helpTail(
        [
          'pelton keys create shop --model flight-delay > shop.key',
          'pelton keys create batch --all-models --lane low',
          'pelton keys create ops --all-models --lane high --json | jq -r .key',
        ],
        FAILED,
      ),
    )
    .action((name: string, options: CreateArguments) =>
      runCommand(async (run) => (await import('../keys/create.ts')).createKeyCommand(run, name, options)),
    )
}

function listCommand(): Command {
  return new Command('list')
    .summary('list all keys, oldest first, also those that were revoked')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', helpTail(['pelton keys list'], FAILED))
    .action((options: { readonly json?: boolean }) =>
      runCommand(async (run) => (await import('../keys/list.ts')).listKeysCommand(run, options)),
    )
}

function revokeCommand(): Command {
  return new Command('revoke')
    .summary('revoke a key for good: every gateway refuses it within five seconds')
    .description(
      'It stays in the list, with the time. To change what a key may, make another and revoke this one.',
    )
    .argument(
      '<id-or-name>',
      'as `keys list` shows it, or the key itself; a name where only one key has it that is not revoked',
    )
    .option('--by <name>', 'who revokes it, for the record')
    .option('--json', 'what is kept of the key, as one JSON object')
    .addHelpText('after', helpTail(['pelton keys revoke k3xq7mzp2a', 'pelton keys revoke shop'], FAILED))
    .action((which: string, options: { readonly by?: string; readonly json?: boolean }) =>
      runCommand(async (run) => (await import('../keys/revoke.ts')).revokeKeyCommand(run, which, options)),
    )
}
