import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ERRORS } from '../../shared/sdk/errors.ts'
import { ROOT } from './observability-files.ts'

const SDK = `${ROOT}shared/sdk/`
const readme = await readFile(`${SDK}README.md`, 'utf8')

interface Option {
  readonly name: string
  /** As the comment of the code says it, if it does. */
  readonly fallback: string | undefined
}

/** The options of an interface, with what their comments say after `@default`. */
async function optionsOf(file: string, name: string): Promise<readonly Option[]> {
  const code = await readFile(`${SDK}${file}`, 'utf8')
  const body = new RegExp(`^export interface ${name}\\b.*?^\\}`, 'ms').exec(code)?.[0] ?? ''
  return [...body.matchAll(/(\/\*\*(?:(?!\*\/).)*\*\/\n)? {2}readonly (\w+)\??:/gs)].map(
    ([, comment = '', option = '']) => ({
      name: option,
      fallback: /@default (\d[\d_]*|'[^']*'|true|false|\S+ MiB)/.exec(comment)?.[1],
    }),
  )
}

const plain = (text: string): string => text.replaceAll(/(?<=\d)[_ ](?=\d)/g, '')

test.each([
  ['producer-settings.ts', 'ProducerOptions', 'producer'],
  ['outbox/settings.ts', 'OutboxOptions', 'outbox'],
  ['subscriber.ts', 'SubscriberOptions', 'subscriber'],
  ['subscriber.ts', 'BatchOptions', ''],
  ['wait-for.ts', 'WaitOptions', ''],
  ['link.ts', 'ConnectionOptions', ''],
  ['event-message.ts', 'EventToPublish', 'event'],
  ['testing.ts', 'TestBrokerOptions', ''],
])('%s: the README of the SDK names each of %s, with its default', async (file, name, heading) => {
  const options = await optionsOf(file, name)
  expect(options.length).toBeGreaterThan(1)
  // In its table, or where there is none in the text.
  const table = heading === '' ? undefined : new RegExp(`^\\| ${heading} .*?\\n\\n`, 'ms').exec(readme)?.[0]
  const lines = table?.split('\n') ?? readme.split('\n\n')
  for (const option of options) {
    const named = lines.filter((line) => line.includes(`\`${option.name}\``))
    expect(named, option.name).not.toEqual([])
    if (option.fallback !== undefined)
      expect(plain(named.join('\n')), option.name).toContain(plain(option.fallback))
  }
})

test('the table of errors names codes that exist', () => {
  const [, table = ''] = readme.split('| code ')
  const codes = [...(table.split('\n\n')[0] ?? '').matchAll(/^\| `([a-z-]+)`/gm)].map(([, code = '']) => code)
  expect(codes.length).toBeGreaterThan(10)
  expect(codes.filter((code) => !Object.hasOwn(ERRORS, code))).toEqual([])
})
