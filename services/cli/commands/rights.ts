import { Command, Option } from 'commander'
import type { RightsOptions } from '../../../shared/operations/rights/options.ts'
import { rightsOf } from '../../../shared/operations/rights/rights.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { helpTail, runCommand } from '../command-run.ts'
import { FORMS, type Form, renderForm } from '../rights/forms.ts'

interface RightsArguments {
  readonly form: Form
  readonly prefix: readonly string[]
  readonly pool: readonly string[]
  readonly producer: readonly string[]
  readonly gateway: readonly string[]
  readonly subscriber: readonly string[]
  readonly domain?: string
  readonly inboxPrefix: string
  readonly oneAccount?: boolean
  readonly creds?: string
}

export function rightsCommand(): Command {
  return new Command('rights')
    .summary('print who may do what at the broker, as files for its accounts')
    .description(
      'Prints a user per role with the least rights, and the accounts they are in, for the broker. Asks no broker, changes\n' +
        'nothing. Forms: accounts (a file that nats-server includes), nsc (commands for operator mode), claims (JSON, for other\n' +
        'tools of operator mode), kubernetes (with new passwords each time), helm (values for the chart of the broker).',
    )
    .addOption(new Option('--form <form>', 'what to print').choices(FORMS).default('accounts'))
    .option('--prefix <name...>', 'a Pelton for each, on the same accounts; "" for that without a prefix', [
      '',
    ])
    .option('--pool <name...>', 'pools of workers: a user for each', ['default'])
    .option('--producer <user...>', 'users that publish events; orders:normal,low has these lanes alone', [
      'producer',
    ])
    .option('--gateway <user...>', 'users of gateways, likewise', ['gateway'])
    .option('--subscriber <user...>', 'users that read results', ['subscriber'])
    .option('--domain <name>', 'JetStream domain of the servers')
    .option('--inbox-prefix <subject>', 'what the inboxes of all users lie below', '_INBOX')
    .option(
      '--one-account',
      'all users in one account, where there is no other: producers have to be trusted',
    )
    .option(
      '--creds <folder>',
      'kubernetes, helm: users log in with its files <user>.creds, not with passwords',
    )
    .addHelpText(
      'after',
      helpTail(
        [
          'pelton rights > accounts.conf',
          'pelton rights --pool default gpu --prefix staging > accounts.conf',
          'pelton rights --producer orders batch:low > accounts.conf',
          'pelton rights --form nsc | sh',
          'pelton rights --form kubernetes | kubectl create -f -',
        ],
        { failed: 'never' },
      ),
    )
    .action((options: RightsArguments) => runCommand((run) => printRights(run.terminal.print, options)))
}

async function printRights(print: (line: string) => void, options: RightsArguments): Promise<number> {
  const { form, creds, domain, inboxPrefix, oneAccount } = options
  const { prefix: prefixes, pool: pools } = options
  const { producer: producers, gateway: gateways, subscriber: subscribers } = options
  const users = { prefixes, pools, producers, gateways, subscribers }
  const asked: RightsOptions = { ...users, domain, inboxPrefix, oneAccount }
  const text = await renderForm(form, rightsOf(asked), creds)
  for (const line of text.trimEnd().split('\n')) print(line)
  return EXIT_CODES.ok
}
