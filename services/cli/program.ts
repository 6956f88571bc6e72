import { Command, Help } from 'commander'
import { packageVersion } from '../../shared/runtime/package-version.ts'
import { COMMANDS, type ListedCommand } from './command-list.ts'

/**
 * `pelton`, ready to parse: of its commands only the one that is called is loaded, the others stand by their name for the
 * help and for suggestions.
 *
 * @param args the words behind `pelton`
 */
export async function createProgram(args: readonly string[]): Promise<Command> {
  const usages = new Map<Command, string>()
  const help = new Help()
  const program = new Command('pelton')
    .description(
      'Event-driven inference on NATS JetStream: every accepted event becomes a prediction or a dead letter.',
    )
    .version(packageVersion(import.meta.url))
    .configureHelp({ subcommandTerm: (command) => usages.get(command) ?? help.subcommandTerm(command) })
    .addHelpText(
      'after',
      [
        '',
        'Examples:',
        '  $ pelton up                            # in one terminal',
        '  $ pelton publish flight-delay f.jsonl  # in another',
        '  $ pelton watch --all',
        '',
        'Results go to standard output, everything else to standard error. Settings: docs/configuration.md.',
        'Exit codes: 0 done, 1 failed, 2 arguments or settings cannot be used, 3 forced by a second Ctrl-C.',
      ].join('\n'),
    )
  const called = calledName(args)
  for (const listed of COMMANDS) {
    const name = nameOf(listed)
    const command = name === called ? await listed.load() : new Command(name).summary(listed.summary)
    usages.set(command, listed.usage)
    program.addCommand(command)
  }
  giveManners(program)
  return program
}

export function nameOf({ usage }: ListedCommand): string {
  return usage.split(' ', 1)[0] ?? usage
}

/** The command that is called, or asked about with `help`. A first word that is an option never leads to a command. */
function calledName(args: readonly string[]): string | undefined {
  const [first, second] = args.filter((word) => word !== '--')
  return first === 'help' ? second : first
}

/** The same manners for every command: they are not inherited by commands that are added. */
function giveManners(command: Command): void {
  command.showHelpAfterError('(add --help for the options and examples)').exitOverride()
  for (const below of command.commands) giveManners(below)
}
