import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'
import { sources } from './sources.ts'

/** The one file that knows the standard streams, and those that get them from it whole. */
const STREAMS_OF_THE_PROCESS = 'shared/runtime/standard-streams.ts'
const TAKE_THEM_WHOLE = [
  'services/cli/commands/dead-letters.ts', // `show --payload`: bytes as they are, into a file
  'services/cli/dead-letters/archive-command.ts', // `export -`: lines that are safe JSON
  'services/cli/main.ts', // only hears that a reader went away
  'services/cli/terminal.ts', // cleans all it prints
]

const PRINTS = /\bprocess\s*\.\s*(?:stdout|stderr)\b|\bconsole\s*\.|from '(?:node:)?console'/

test('what prints is told from what does not', () => {
  for (const code of [
    'process.stdout.write(x)',
    'console.log(x)',
    'const { stderr } = process\nprocess.stderr',
  ])
    expect(code).toMatch(PRINTS)
  expect('child.stdout.on(); terminal.print(consoled)').not.toMatch(PRINTS)
})

test('one place writes to standard output and error: it cleans what events bring', async () => {
  const code = new Map<string, string>()
  for (const file of await sources()) code.set(file, await readFile(`${ROOT}${file}`, 'utf8'))
  const filesWith = (pattern: RegExp): string[] =>
    [...code].filter(([, text]) => pattern.test(text)).map(([file]) => file)
  expect(filesWith(PRINTS)).toEqual([STREAMS_OF_THE_PROCESS])
  const whole = filesWith(/\bstandard(?:Output|Error)\b/).filter((file) => file !== STREAMS_OF_THE_PROCESS)
  expect(whole.sort()).toEqual(TAKE_THEM_WHOLE)
})
