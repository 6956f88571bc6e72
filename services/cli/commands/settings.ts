import { Command } from 'commander'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { helpTail, runCommand } from '../command-run.ts'
import { configurationPage } from '../configuration-page.ts'

export function settingsCommand(): Command {
  return new Command('settings')
    .summary('list every setting with its default')
    .addHelpText(
      'after',
      helpTail(['pelton settings | less', 'pelton settings > docs/configuration.md'], { failed: 'never' }),
    )
    .action(() =>
      runCommand(async ({ terminal }) => {
        for (const line of configurationPage().trimEnd().split('\n')) terminal.print(line)
        return EXIT_CODES.ok
      }),
    )
}
