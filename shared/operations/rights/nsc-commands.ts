import { subjectsOf } from './claims.ts'
import { allUsers } from './rights.ts'
import type { AccountRights, Rights, Share, UserRights } from './table.ts'

const HEAD = `\
#!/bin/sh
# Pelton's accounts, exports, imports and users in operator mode: for nsc 2, beside an operator that has a system
# account SYS (\`nsc add operator --name pelton --sys\`). Printed by \`pelton rights --form nsc\`.
#
# Each user has a signing key of its own, with its rights: a JWT of a user then holds none, which would be too long for the
# line a client connects with. Exports are private: an account that is not activated here cannot use them.
#
# Leaves credentials in ./creds, one file for each user, and the accounts for the servers in ./accounts.conf.
set -eu
mkdir -p creds
tokens=$(mktemp -d)
trap 'rm -rf "$tokens"' EXIT`

/** Commands of a shell that make the accounts in operator mode, with `nsc`. */
export function renderNscCommands(rights: Rights): string {
  const { accounts } = rights
  const made = accounts.filter(({ name }) => name !== 'SYS')
  const exporters = accounts.filter(({ exports }) => exports.length > 0)
  return `${[
    HEAD,
    paragraph(made.flatMap(makeAccount)),
    ...accounts.flatMap(({ name, users }) => users.map((user) => paragraph(makeUser(name, user)))),
    ...exporters.map(({ name, exports }) => paragraph(exports.map((share) => makeExport(name, share)))),
    paragraph(accounts.flatMap(makeImports)),
    paragraph([
      ...allUsers(rights).map(
        ({ account, user }) =>
          `nsc generate creds --account ${account} --name ${user} --output-file creds/${user}.creds`,
      ),
      'nsc generate config --mem-resolver --config-file accounts.conf --force',
    ]),
  ]
    .filter((text) => text !== '')
    .join('\n\n')}\n`
}

function paragraph(lines: readonly string[]): string {
  return lines.join('\n')
}

function makeAccount({ name, hasJetStream }: AccountRights): readonly string[] {
  return [
    `nsc add account --name ${name}`,
    ...(hasJetStream ? [`nsc edit account --name ${name} --js-enable 0`] : []),
  ]
}

function makeUser(account: string, { user, about, publish, subscribe }: UserRights): readonly string[] {
  const allow = (kind: string, subjects: readonly string[]): readonly string[] =>
    subjects.map((subject) => `  --allow-${kind} ${quoted(subject)}`)
  return [
    ...about.map((line) => `# ${line}`),
    [
      `nsc edit signing-key --account ${account} --sk generate --role ${user}`,
      ...allow('pub', subjectsOf(publish)),
      ...allow('sub', subjectsOf(subscribe)),
    ].join(' \\\n'),
    `nsc add user --account ${account} --name ${user} --private-key ${user}`,
  ]
}

function makeExport(account: string, { kind, subject, answers }: Share): string {
  const service = kind === 'service' ? ' --service' : ''
  const response = answers === 'many' ? ' --response-type Stream' : ''
  return `nsc add export --account ${account} --private${service}${response} --subject ${quoted(subject)}`
}

function makeImports({ name, imports }: AccountRights): readonly string[] {
  return imports.flatMap(({ from, share: { subject } }, index) => {
    const token = `"$tokens/${name}-${index}"`
    return [
      `nsc generate activation --account ${from} --target-account ${name} --subject ${quoted(subject)} --output-file ${token}`,
      `nsc add import --account ${name} --token ${token}`,
    ]
  })
}

/** A word of a shell in which nothing is a variable. */
function quoted(subject: string): string {
  return `'${subject}'`
}
