import { readdir, readFile } from 'node:fs/promises'
import { type Command, Help } from 'commander'
import { expect, test } from 'vitest'
import { COMMANDS } from '../../services/cli/command-list.ts'
import { EXIT_CODES } from '../../shared/runtime/lifecycle.ts'
import { ROOT } from './observability-files.ts'
import { findCommand, readCommands } from './pelton-commands.ts'

const read = (page: string): Promise<string> => readFile(`${ROOT}${page}`, 'utf8')

/** What can be run, with its arguments: `dead-letters show <token-or-sequence>`. */
function usages(command: Command, above = ''): string[] {
  if (command.commands.length > 0)
    return command.commands.flatMap((below) => usages(below, `${above}${command.name()} `))
  const args = command.registeredArguments.map((each) =>
    each.required ? `<${each.name()}>` : `[${each.name()}]`,
  )
  return [[`${above}${command.name()}`, ...args].join(' ')]
}

test('docs/cli.md lists every command with its arguments, and no other', async () => {
  const program = await readCommands()
  const [tables = ''] = (await read('docs/cli.md')).split('**Which broker.**')
  const listed = [...tables.matchAll(/^\| `([^`]+)` \|/gm)].map(([, usage]) => usage)
  expect(listed.toSorted()).toEqual(program.commands.flatMap((each) => usages(each)).toSorted())
})

test('the list that `pelton --help` shows says of each command what the command says, and lists every one', async () => {
  const help = new Help()
  const said = (command: Command): string => `${help.subcommandTerm(command)}: ${command.summary()}`
  const listed = COMMANDS.map(({ usage, summary }) => `${usage}: ${summary}`)
  expect(listed.toSorted()).toEqual((await readCommands()).commands.map(said).toSorted())
  const loaded = await Promise.all(COMMANDS.map(({ load }) => load()))
  expect(loaded.map(said)).toEqual(listed)
})

test('docs/cli.md lists every exit code, and no other', async () => {
  const codes = [...(await read('docs/cli.md')).matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
  expect(codes).toEqual(Object.values(EXIT_CODES).toSorted())
})

/** How a page may write `pelton `. */
const WAYS_TO_RUN =
  /^(?:npm run -s pelton --|(?:ONNXRUNTIME_NODE_INSTALL=skip )?npx pelton-server|docker compose exec \w+ pelton) /

/** Commands on a page: in code of its text, and as lines of its shell blocks. */
function commandsOn(page: string): string[] {
  const shell = [...page.matchAll(/^```(?:sh)?\n(.*?)^```$/gms)].flatMap(([, code = '']) => code.split('\n'))
  const inline = [...page.replaceAll(/^```.*?^```$/gms, '').matchAll(/`([^`\n]+)`/g)].map(
    ([, code = '']) => code,
  )
  return [...shell, ...inline]
    .map((line) => line.replace(/^\$ /, '').replace(/^.*\| (?=npm run -s pelton|npx pelton-server)/, ''))
    .map((line) => line.replace(WAYS_TO_RUN, 'pelton '))
    .filter((line) => line.startsWith('pelton '))
    .map((line) => line.replace(/ (?:#|\||>|&&) .*$/, '').trim())
}

test('every `pelton` command of README and docs exists, with each of its options', async () => {
  const program = await readCommands()
  const pages = (await readdir(`${ROOT}docs`)).filter((name) => name.endsWith('.md'))
  let count = 0
  const readmes = ['README.md', 'shared/sdk/README.md', 'infra/npm/pelton-server/README.md']
  for (const page of [...readmes, ...pages.map((name) => `docs/${name}`)]) {
    for (const line of commandsOn(await read(page))) {
      const words = line.split(/\s+/).slice(1)
      if (words[0]?.startsWith('<')) continue // `pelton <command>`
      if (words.join() === '--help' || words.join() === '--version') continue // `pelton` itself
      const { command, depth } = findCommand(program, words)
      expect(depth, `${page}: \`${line}\` is no command`).toBeGreaterThan(0)
      const next = words[depth]
      if (command.commands.length > 0 && next !== undefined)
        expect.fail(`${page}: \`${line}\`: ${command.name()} has no ${next}`)
      const options = command.options.map(({ long }) => long)
      for (const word of words)
        if (word.startsWith('--')) expect(options, `${page}: \`${line}\``).toContain(word)
      count++
    }
  }
  expect(count).toBeGreaterThan(40)
})
