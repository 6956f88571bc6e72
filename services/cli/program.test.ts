import { expect, it } from 'vitest'
import { COMMANDS } from './command-list.ts'
import { createProgram, nameOf } from './program.ts'

/** Names of the commands that are there with their options and arguments, and not by their name alone. */
async function loadedFor(...args: string[]): Promise<readonly string[]> {
  const program = await createProgram(args)
  return program.commands
    .filter((each) => each.description() !== '' || each.commands.length > 0 || each.options.length > 0)
    .map((each) => each.name())
}

it.each<[string[], string[]]>([
  [[], []],
  [['--help'], []],
  [['--help', 'up'], []],
  [['--version'], []],
  [['nonsense'], []],
  [['help'], []],
  [['up'], ['up']],
  [['up', '--nonsense'], ['up']],
  [['--', 'up'], ['up']],
  [['help', 'up'], ['up']],
  [['models', 'check', '--help'], ['models']],
])('for %j the commands %j are loaded', async (args, loaded) => {
  expect(await loadedFor(...args)).toEqual(loaded)
})

it('the help is the same whichever command is loaded', async () => {
  const help = (await createProgram([])).helpInformation()
  expect(help).toContain('publish [options] <model> [file]')
  for (const listed of COMMANDS) expect((await createProgram([nameOf(listed)])).helpInformation()).toBe(help)
})

it('a command that does not exist is answered with one that is meant', async () => {
  const program = await createProgram(['statsu'])
  const said: string[] = []
  program.configureOutput({ writeErr: (text) => void said.push(text) })
  await expect(program.parseAsync(['statsu'], { from: 'user' })).rejects.toThrow('unknown command')
  expect(said.join('')).toContain('Did you mean status?')
})
