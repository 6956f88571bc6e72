import {
  type Account,
  encodeAccount,
  encodeActivation,
  encodeOperator,
  encodeUser,
  fmtCreds,
} from '@nats-io/jwt'
import { createAccount, createOperator, createUser, type KeyPair } from '@nats-io/nkeys'
import { accountClaims, activationsOf } from '../../shared/operations/rights/claims.ts'
import { allUsers } from '../../shared/operations/rights/rights.ts'
import type { AccountName, Rights } from '../../shared/operations/rights/table.ts'

/** Rights as an operator hands them out: a file for the servers, credentials for the users. */
export interface OperatorMode {
  /** Takes the place of `accounts.conf`: operator, system account, and every account in memory. */
  readonly serverConfig: string
  readonly creds: ReadonlyMap<string, Uint8Array>
  /** A worker, signed by a key that no account names. */
  readonly forged: Uint8Array
  /** A worker until a while ago. */
  readonly expired: Uint8Array
}

/** Makes operator, accounts and users of the claims of some rights, all with new keys. */
export async function createOperatorMode(rights: Rights): Promise<OperatorMode> {
  const operator = createOperator()
  const accounts = new Map(rights.accounts.map(({ name }) => [name, createAccount()]))
  const signers = new Map(allUsers(rights).map(({ user }) => [user, createAccount()]))
  const account = (name: AccountName): KeyPair => known(accounts.get(name))
  const tokens = await signActivations(rights, account)
  const claims = accountClaims(rights, {
    account: (name) => account(name).getPublicKey(),
    signer: (user) => known(signers.get(user)).getPublicKey(),
    activation: (importer, { kind, subject }) => known(tokens.get(`${importer} ${kind} ${subject}`)),
  })
  const preloaded = await Promise.all(
    [...claims].map(async ([name, claimed]) => {
      const jwt = await encodeAccount(name, account(name), claimed as unknown as Account, {
        signer: operator,
      })
      return `  ${account(name).getPublicKey()}: ${jwt}`
    }),
  )
  const system = account('SYS').getPublicKey()
  const token = await encodeOperator('pelton', operator, { system_account: system })
  const worker = { user: 'worker', account: account('PELTON') }
  return {
    serverConfig: [
      `operator: ${token}`,
      `system_account: ${system}`,
      'resolver: MEMORY',
      'resolver_preload: {',
      ...preloaded,
      '}',
      '',
    ].join('\n'),
    creds: new Map(
      await Promise.all(
        allUsers(rights).map(
          async ({ user, account: name }) =>
            [user, await sign({ user, account: account(name) }, known(signers.get(user)))] as const,
        ),
      ),
    ),
    forged: await sign(worker, createAccount()),
    expired: await sign(worker, known(signers.get('worker') ?? [...signers.values()][0]), 1_000_000_000),
  }
}

/** Tokens by importing account, kind and subject. */
async function signActivations(
  rights: Rights,
  account: (name: AccountName) => KeyPair,
): Promise<ReadonlyMap<string, string>> {
  const signed = activationsOf(rights).map(async ({ from, to, kind, subject }) => {
    const token = await encodeActivation(subject, account(to), account(from), kind, { subject })
    return [`${to} ${kind} ${subject}`, token] as const
  })
  return new Map(await Promise.all(signed))
}

/** Credentials of a user whose rights are those of its signing key. @param exp when they end, seconds since 1970 */
async function sign(
  { user, account }: { readonly user: string; readonly account: KeyPair },
  signer: KeyPair,
  exp?: number,
): Promise<Uint8Array> {
  const pair = createUser()
  const options = { signer, scopedUser: true, ...(exp !== undefined && { exp }) }
  return fmtCreds(await encodeUser(user, pair, account, {}, options), pair)
}

function known<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('the rights name what they do not have')
  return value
}
