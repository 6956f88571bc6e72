import type { AccountName, AccountRights, Import, Right, Rights, Share } from './table.ts'

/** The keys that claims name: public ones, and the tokens that let an account use what another one keeps private. */
export interface ClaimKeys {
  /** Public key of an account. */
  account(name: AccountName): string
  /** Public key that signs the user of this name, and nobody else. */
  signer(user: string): string
  /** Activation of an import, signed by the account that exports it. */
  activation(importer: AccountName, activation: Activation): string
}

/** What an account lets another one use. */
export interface Activation {
  readonly from: AccountName
  readonly to: AccountName
  readonly kind: Share['kind']
  readonly subject: string
}

const UNLIMITED = { subs: -1, data: -1, payload: -1 } as const

interface Allowed {
  readonly allow: readonly string[]
}

/** The claims of an account: the part `nats` of its JWT. */
export interface AccountClaims {
  readonly limits: Readonly<Record<string, number | boolean>>
  readonly signing_keys: readonly {
    readonly kind: 'user_scope'
    readonly key: string
    readonly role: string
    readonly description: string
    readonly template: typeof UNLIMITED & { readonly pub: Allowed; readonly sub: Allowed }
  }[]
  readonly exports: readonly {
    readonly name: string
    readonly subject: string
    readonly type: Share['kind']
    readonly token_req: true
    readonly response_type?: 'Singleton' | 'Stream'
    readonly description: string
  }[]
  readonly imports: readonly {
    readonly name: string
    readonly subject: string
    readonly type: Share['kind']
    readonly account: string
    readonly token: string
    readonly local_subject?: string
  }[]
}

/** Every activation that imports need. */
export function activationsOf({ accounts }: Rights): readonly Activation[] {
  return accounts.flatMap(({ name, imports }) => imports.map((each) => activationOf(name, each)))
}

function activationOf(to: AccountName, { from, share: { kind, subject } }: Import): Activation {
  return { from, to, kind, subject }
}

/**
 * The claims of each account in operator mode. Each user has a signing key of its own, with its rights: a JWT of a user then
 * names that key and holds no rights, which would be too long for the line a client connects with.
 */
export function accountClaims(rights: Rights, keys: ClaimKeys): ReadonlyMap<AccountName, AccountClaims> {
  return new Map(rights.accounts.map((account) => [account.name, claimsOf(account, keys)]))
}

function claimsOf(account: AccountRights, keys: ClaimKeys): AccountClaims {
  const storage = account.hasJetStream ? -1 : 0
  return {
    limits: {
      ...UNLIMITED,
      ...{ imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 },
      ...{ mem_storage: storage, disk_storage: storage, streams: storage, consumer: storage },
    },
    signing_keys: account.users.map(({ user, about, publish, subscribe }) => ({
      kind: 'user_scope',
      key: keys.signer(user),
      role: user,
      description: about.join(' '),
      template: { ...UNLIMITED, pub: allowed(publish), sub: allowed(subscribe) },
    })),
    exports: account.exports.map(({ kind, subject, answers, why }) => ({
      name: subject,
      subject,
      type: kind,
      token_req: true,
      ...(kind === 'service' && { response_type: answers === 'many' ? 'Stream' : 'Singleton' }),
      description: why,
    })),
    imports: account.imports.map((each) => importOf(account.name, each, keys)),
  }
}

function importOf(importer: AccountName, each: Import, keys: ClaimKeys): AccountClaims['imports'][number] {
  const { kind, subject } = each.share
  return {
    name: subject,
    subject,
    type: kind,
    account: keys.account(each.from),
    token: keys.activation(importer, activationOf(importer, each)),
    ...(kind === 'service' && { local_subject: subject }),
  }
}

function allowed(rights: readonly Right[]): Allowed {
  return { allow: subjectsOf(rights) }
}

/** The subjects of several rights, each once. */
export function subjectsOf(rights: readonly Right[]): readonly string[] {
  return [...new Set(rights.flatMap(({ subjects }) => subjects))]
}
