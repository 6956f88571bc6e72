import { passwordVariable } from './options.ts'
import type { AccountRights, Import, Right, Rights, Share, UserRights } from './table.ts'

const BEGIN = `\
# One user per role, each with the least rights; the server enforces them (test/integration/rights.test.ts).
# Printed by \`pelton rights\`: do not edit it, give the command other pools or prefixes (docs/deploy.md).
#`

const SEVERAL_ACCOUNTS = `\
# Four accounts, because subjects alone do not bound a user: a reply subject is not held against the rights of whoever
# sends it. A producer that publishes an event with the reply subject \`ledger.default\` would have the server's
# acknowledgement stored in the ledger. Here the answers to a producer, subscriber or gateway stay in its own account.
#`

const ONE_ACCOUNT = `\
# All in one account: whoever may publish here is trusted with whatever a reply subject can reach, such as the ledger.
#`

const PASSWORDS = `\
# Passwords come from the environment, as plain text or as bcrypt hashes, in double quotes: NATS_WORKER_PASSWORD='"…"'.
# The server does not start without them.`

/** Columns of a line. */
const WIDTH = 118

/** The accounts as nats-server reads them: a file that its configuration includes. */
export function renderAccountsFile({ accounts }: Rights): string {
  const blocks = accounts.map((account) => indented(renderAccount(account), 2).join('\n'))
  const isOne = accounts.every(({ exports }) => exports.length === 0)
  const head = [BEGIN, isOne ? ONE_ACCOUNT : SEVERAL_ACCOUNTS, PASSWORDS].join('\n')
  return `${head}\n\nsystem_account: SYS\n\naccounts {\n${blocks.join('\n\n')}\n}\n`
}

function renderAccount({ name, hasJetStream, users, exports, imports }: AccountRights): readonly string[] {
  return [
    `${name} {`,
    ...(hasJetStream ? ['  jetstream: enabled'] : []),
    ...list('users', users.flatMap(renderUser)),
    ...list(
      'exports',
      byReason(exports, (share) => share.why, renderExport),
    ),
    ...list(
      'imports',
      byReason(imports, ({ share }) => share.why, renderImport),
    ),
    '}',
  ]
}

/** A list of blocks; nothing where it is empty. */
function list(name: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : indented([`${name}: [`, ...indented(lines, 2), ']'], 2)
}

function renderUser({ user, about, publish, subscribe }: UserRights): readonly string[] {
  return [
    ...about.map((line) => `# ${line}`),
    '{',
    `  user: ${nameOf(user)}, password: $${passwordVariable(user)}`,
    '  permissions {',
    ...indented(renderRights('publish', publish), 4),
    ...indented(renderRights('subscribe', subscribe), 4),
    '  }',
    '}',
  ]
}

function renderRights(name: string, rights: readonly Right[]): readonly string[] {
  const lines = rights.flatMap(({ why, subjects }) => [`# ${why}`, ...filled(subjects.map(quoted))])
  return [`${name}: [`, ...indented(lines, 2), ']']
}

/** Values with commas between them, as many to a line as it takes within the users of an account. */
function filled(values: readonly string[]): readonly string[] {
  const lines: string[] = []
  for (const value of values) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + value.length + 2 <= WIDTH - 12)
      lines[lines.length - 1] = `${last}, ${value}`
    else lines.push(value)
  }
  return lines
}

function byReason<Item>(
  items: readonly Item[],
  whyOf: (item: Item) => string,
  render: (item: Item) => string,
): readonly string[] {
  const reasons = [...new Set(items.map(whyOf))]
  return reasons.flatMap((why) => [`# ${why}`, ...items.filter((item) => whyOf(item) === why).map(render)])
}

function renderExport({ kind, subject, to, answers }: Share): string {
  const response = answers === 'many' ? ', response_type: stream' : ''
  return `{ ${kind}: ${quoted(subject)}${response}, accounts: [${to.join(', ')}] }`
}

function renderImport({ from, share: { kind, subject } }: Import): string {
  return `{ ${kind}: { account: ${from}, subject: ${quoted(subject)} } }`
}

/** What begins with a digit would be read as a number. */
function nameOf(user: string): string {
  return /^[A-Za-z]/.test(user) ? user : quoted(user)
}

/** In quotes nothing in it is a variable. */
function quoted(subject: string): string {
  return `"${subject}"`
}

function indented(lines: readonly string[], columns: number): readonly string[] {
  return lines.map((line) => `${' '.repeat(columns)}${line}`)
}
