import { describe, expect, test } from 'vitest'
import { type AccountClaims, accountClaims, type ClaimKeys } from './claims.ts'
import { renderNscCommands } from './nsc-commands.ts'
import { allUsers, rightsOf } from './rights.ts'
import type { AccountName } from './table.ts'

/** Names where keys and tokens belong. */
const NAMES: ClaimKeys = {
  account: (name) => name,
  signer: (user) => `key of ${user}`,
  activation: (importer, { from, subject }) => `${subject} of ${from} for ${importer}`,
}

/** Words of a shell line: what is in quotes stays together, without them. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? '',
  )
}

interface Command {
  readonly name: string
  readonly flags: ReadonlyMap<string, readonly string[]>
}

/** The commands of `nsc` in a script. */
function commandsOf(script: string): readonly Command[] {
  const lines = script.replaceAll(/ \\\n */g, ' ').split('\n')
  return lines
    .filter((line) => line.startsWith('nsc '))
    .map((line) => {
      const [, verb, noun, ...words] = wordsOf(line)
      const flags = new Map<string, string[]>()
      for (const [index, word] of words.entries()) {
        if (!word.startsWith('--')) continue
        const next = words[index + 1]
        const value = next === undefined || next.startsWith('--') ? '' : next
        flags.set(word, [...(flags.get(word) ?? []), value])
      }
      return { name: `${verb} ${noun}`, flags }
    })
}

/**
 * Every flag that Pelton's commands use, as nsc 2 has them (flags of each command in its folder `cmd`): `value` takes one,
 * `several` may be given again, `switch` takes none.
 */
const FLAGS: Readonly<Record<string, Readonly<Record<string, 'value' | 'several' | 'switch'>>>> = {
  'add account': { '--name': 'value' },
  'edit account': { '--name': 'value', '--js-enable': 'value' },
  'edit signing-key': {
    ...{ '--account': 'value', '--sk': 'value', '--role': 'value' },
    ...{ '--allow-pub': 'several', '--allow-sub': 'several' },
  },
  'add user': { '--account': 'value', '--name': 'value', '--private-key': 'value' },
  'add export': {
    ...{ '--account': 'value', '--subject': 'value', '--private': 'switch' },
    ...{ '--service': 'switch', '--response-type': 'value' },
  },
  'generate activation': {
    ...{ '--account': 'value', '--target-account': 'value' },
    ...{ '--subject': 'value', '--output-file': 'value' },
  },
  'add import': { '--account': 'value', '--token': 'value' },
  'generate creds': { '--account': 'value', '--name': 'value', '--output-file': 'value' },
  'generate config': { '--mem-resolver': 'switch', '--config-file': 'value', '--force': 'switch' },
}

/** What of a command is not as nsc takes it. */
function unknownIn({ name, flags }: Command): readonly string[] {
  return [...flags].flatMap(([flag, values]) => {
    const kind = FLAGS[name]?.[flag]
    const isRight =
      kind === 'several'
        ? values.every((value) => value !== '')
        : values.length === 1 && kind !== undefined && (kind === 'switch') === (values[0] === '')
    return isRight ? [] : [`${name} ${flag} ${values.join(' ')}`]
  })
}

interface Made {
  hasJetStream: boolean
  readonly keys: Map<string, { pub: readonly string[]; sub: readonly string[] }>
  readonly users: Set<string>
  readonly exports: { subject: string; type: string; token_req: boolean; response_type?: string }[]
  readonly imports: { subject: string; type: string; account: string; token: string }[]
}

const empty = (): Made => ({
  hasJetStream: false,
  keys: new Map(),
  users: new Set(),
  exports: [],
  imports: [],
})

/** What `nsc` makes of a script, as far as Pelton's commands go; the system account comes with the operator. */
function interpret(script: string): ReadonlyMap<string, Made> {
  const accounts = new Map<string, Made>([['SYS', empty()]])
  const tokens = new Map<string, { from: string; to: string; subject: string }>()
  const of = (name: string): Made => {
    const account = accounts.get(name)
    if (account === undefined) throw new Error(`${name} is used before it is made`)
    return account
  }
  for (const { name, flags } of commandsOf(script)) {
    const all = (flag: string): readonly string[] => flags.get(flag) ?? []
    const one = (flag: string): string => all(flag)[0] ?? ''
    const isGiven = (flag: string): boolean => flags.has(flag)
    if (name === 'add account') accounts.set(one('--name'), empty())
    else if (name === 'edit account') of(one('--name')).hasJetStream = one('--js-enable') === '0'
    else if (name === 'edit signing-key') {
      // A key that is made just then; its role stands for it from then on.
      expect(one('--sk')).toBe('generate')
      of(one('--account')).keys.set(one('--role'), { pub: all('--allow-pub'), sub: all('--allow-sub') })
    } else if (name === 'add user') {
      expect(of(one('--account')).keys.has(one('--private-key'))).toBe(true)
      expect(one('--name')).toBe(one('--private-key'))
      of(one('--account')).users.add(one('--name'))
    } else if (name === 'add export')
      of(one('--account')).exports.push({
        subject: one('--subject'),
        type: isGiven('--service') ? 'service' : 'stream',
        token_req: isGiven('--private'),
        ...(isGiven('--service') && { response_type: one('--response-type') || 'Singleton' }),
      })
    else if (name === 'generate activation') {
      expect(of(one('--account')).exports.map(({ subject }) => subject)).toContain(one('--subject'))
      const token = { from: one('--account'), to: one('--target-account'), subject: one('--subject') }
      tokens.set(one('--output-file'), token)
    } else if (name === 'add import') {
      const { from = '', to = '', subject = '' } = tokens.get(one('--token')) ?? {}
      expect(to).toBe(one('--account'))
      const type = of(from).exports.find((each) => each.subject === subject)?.type ?? ''
      of(to).imports.push({ subject, type, account: from, token: `${subject} of ${from} for ${to}` })
    } else if (name === 'generate creds') {
      expect([...of(one('--account')).users]).toContain(one('--name'))
      expect(one('--output-file')).toBe(`creds/${one('--name')}.creds`)
    } else expect(name).toBe('generate config')
  }
  return accounts
}

/** The same of the claims, which a server is held to by test/integration/rights.test.ts. */
function madeBy(claims: AccountClaims): Made {
  return {
    hasJetStream: claims.limits.disk_storage === -1,
    keys: new Map(
      claims.signing_keys.map(({ role, template }) => [
        role,
        { pub: template.pub.allow, sub: template.sub.allow },
      ]),
    ),
    users: new Set(claims.signing_keys.map(({ role }) => role)),
    exports: claims.exports.map(({ name: _name, description: _description, ...rest }) => rest),
    imports: claims.imports.map(({ name: _name, local_subject: _local, ...rest }) => rest),
  }
}

describe('the commands for nsc', () => {
  test.each([
    {},
    { pools: ['default', 'gpu'] },
    { prefixes: ['', 'staging'], domain: 'hub', inboxPrefix: 'acme.replies' },
  ])('make what the claims say: %j', (options) => {
    const rights = rightsOf(options)
    const made = interpret(renderNscCommands(rights))
    const claims = accountClaims(rights, NAMES)
    expect([...made.keys()].toSorted()).toEqual([...claims.keys()].toSorted())
    for (const [name, claimed] of claims) expect(made.get(name), name).toEqual(madeBy(claimed))
  })

  test.each([{}, { oneAccount: true }, { prefixes: ['', 'staging'], domain: 'hub' }])(
    'have no flag that nsc has not, and all commands do what is interpreted here: %j',
    (options) => {
      const script = renderNscCommands(rightsOf(options))
      const commands = commandsOf(script)
      expect(commands.flatMap(unknownIn)).toEqual([])
      expect(unknownIn({ name: 'add user', flags: new Map([['--nmae', ['x']]]) })).toEqual([
        'add user --nmae x',
      ])
      const others = script
        .replaceAll(/ \\\n */g, ' ')
        .split('\n')
        .filter((line) => line !== '' && !/^(?:#|nsc )/.test(line))
      expect(others).toEqual([
        ...['set -eu', 'mkdir -p creds', 'tokens=$(mktemp -d)', `trap 'rm -rf "$tokens"' EXIT`],
      ])
    },
  )

  test('write credentials for every user', () => {
    const rights = rightsOf({ prefixes: ['', 'staging'] })
    const script = renderNscCommands(rights)
    for (const { user, account } of allUsers(rights))
      expect(script).toContain(
        `nsc generate creds --account ${account} --name ${user} --output-file creds/${user}.creds`,
      )
  })

  test('leave nothing to the shell but the folder of tokens', () => {
    const script = renderNscCommands(rightsOf({ domain: 'hub' }))
      .split('\n')
      .filter((line) => !line.startsWith('#'))
    const bare = script.join('\n').replaceAll(/'[^'\n]*'/g, '')
    expect(
      [...bare.matchAll(/\$[^\s]*/g)]
        .map(([used]) => used)
        .filter((used) => !/^\$(?:tokens|\(mktemp)/.test(used)),
    ).toEqual([])
  })
})

describe('claims', () => {
  test('of a user fit the line a client connects with: its rights are in those of its account', () => {
    const claims = accountClaims(rightsOf(), NAMES)
    const roles = [...claims].flatMap(([name, { signing_keys }]) =>
      signing_keys.map(({ role, key }) => [name, role, key] as readonly [AccountName, string, string]),
    )
    expect(roles).toContainEqual(['PELTON', 'control', 'key of control'])
    expect(new Set(roles.map(([, , key]) => key)).size).toBe(roles.length)
  })
})
