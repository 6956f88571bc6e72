import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { RightsOptions } from '../../shared/operations/rights/options.ts'
import type { Role } from '../../shared/operations/rights/table.ts'

type Table = Readonly<Record<string, readonly Role[]>>

/** Rights as somebody has them, and what that makes of the acts of `rights-acts.ts`. */
export interface Form {
  readonly title: string
  readonly options: RightsOptions
  readonly mode: 'accounts' | 'operator'
  /** The accounts as they are in the repository. */
  readonly accounts?: string
  /** Whether reply subjects of producers and subscribers lead nowhere else: they have accounts of their own. */
  readonly isWalled: boolean
  /** Whether streams and subjects have the names they have without a prefix. */
  readonly isPlain: boolean
  userOf(role: Role): string
  /** A subject as it is in this form. */
  wire(subject: string): string
  /** Who may publish what, and listen to what, where that differs: subjects as they are without this form. */
  readonly acts: Table
  readonly heard: Table
  /** Settings that commands and services need for it, beside those by which they log in. */
  readonly env: NodeJS.ProcessEnv
  /** The same for the SDK. */
  readonly login: Readonly<Record<string, string>>
  /** Another Pelton on the same accounts: a subject as it is there, and who of this one may publish it. */
  readonly other?: { wire(subject: string): string; may(subject: string): readonly Role[] }
}

const PLAIN = {
  isWalled: true,
  isPlain: true,
  userOf: (role: Role) => role,
  wire: (subject: string) => subject,
  ...{ acts: {}, heard: {}, env: {}, login: {} },
} as const

const PREFIX = 'staging'

/** A subject of the Pelton `staging`: spelt out here, to be held against what the rights make of it. */
export function inStaging(subject: string): string {
  return subject
    .replace(/(^|\.)(features|retries|due|results|deadletters|ledger|_pelton|pelton)\./, `$1${PREFIX}.$2.`)
    .replace(/\.(FEATURES|RETRIES|RESULTS|DEADLETTERS|LEDGER)(?=\.|$)/, `.${PREFIX}-$1`)
    .replaceAll(/pelton-(models|starts|replays|keys|requests|artifacts)/g, `pelton-${PREFIX}-$1`)
    .replace(/^_INBOX\.(?=\w)/, `_INBOX.${PREFIX}-`)
}

export const FORMS: readonly Form[] = [
  {
    ...PLAIN,
    title: 'infra/nats/accounts.conf',
    options: {},
    mode: 'accounts',
    accounts: readFileSync(fileURLToPath(new URL('../../infra/nats/accounts.conf', import.meta.url)), 'utf8'),
  },
  { ...PLAIN, title: 'operator mode', options: {}, mode: 'operator' },
  ...(['accounts', 'operator'] as const).map((mode) => ({
    ...PLAIN,
    title: `a domain of JetStream (${mode})`,
    options: { domain: 'hub' },
    mode,
    wire: (subject: string) => subject.replace(/^\$JS\.API\./, '$JS.hub.API.'),
    env: { PELTON_NATS_DOMAIN: 'hub' },
    login: { domain: 'hub' },
  })),
  {
    ...PLAIN,
    title: 'inboxes below another prefix',
    options: { inboxPrefix: 'acme.replies' },
    mode: 'accounts',
    wire: (subject) => subject.replace(/^_INBOX\.(?=\w)/, 'acme.replies.'),
    heard: { 'acme.replies.>': [] },
  },
  ...(['accounts', 'operator'] as const).map((mode) => ({
    title: `beside another Pelton, by a prefix (${mode})`,
    options: { prefixes: ['', PREFIX] },
    mode,
    isWalled: true,
    isPlain: false,
    userOf: (role: Role) => (role === 'monitor' ? role : `${PREFIX}-${role}`),
    wire: inStaging,
    acts: { '$JS.API.STREAM.CREATE.MINE': [], '$JS.API.STREAM.INFO.MINE': [] },
    heard: {},
    env: { PELTON_PREFIX: PREFIX },
    login: { prefix: PREFIX },
    other: { wire: (subject: string) => subject, may: () => [] },
  })),
  {
    ...PLAIN,
    title: 'all in one account',
    options: { oneAccount: true },
    mode: 'accounts',
    isWalled: false,
  },
  {
    ...PLAIN,
    title: 'beside another Pelton, without a prefix',
    options: { prefixes: ['', PREFIX] },
    mode: 'accounts',
    // Without a prefix its admin may ask for anything on the account.
    other: { wire: inStaging, may: (subject) => (subject.startsWith('$JS.API.') ? ['admin'] : []) },
  },
]
