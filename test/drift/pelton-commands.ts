import { readdir } from 'node:fs/promises'
import { Command } from 'commander'
import { ROOT } from './observability-files.ts'

/** The commands of `pelton`, found where they are defined. */
export async function readCommands(): Promise<Command> {
  const program = new Command('pelton')
  const folder = `${ROOT}services/cli/commands`
  const files = (await readdir(folder)).filter((name) => name.endsWith('.ts') && !name.includes('.test.'))
  for (const file of files) {
    const exported = (await import(`${folder}/${file}`)) as Record<string, unknown>
    for (const [name, make] of Object.entries(exported))
      if (name.endsWith('Command') && typeof make === 'function') program.addCommand(make() as Command)
  }
  return program
}

/** The command that the words behind `pelton` name, as far as they do, and how many of them it took. */
export function findCommand(
  program: Command,
  words: readonly string[],
): { readonly command: Command; readonly depth: number } {
  const below = program.commands.find((each) => each.name() === words[0])
  if (below === undefined) return { command: program, depth: 0 }
  const { command, depth } = findCommand(below, words.slice(1))
  return { command, depth: depth + 1 }
}
