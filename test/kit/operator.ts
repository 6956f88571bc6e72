import { nkeys } from '@nats-io/transport-node'

type KeyPair = ReturnType<typeof nkeys.createUser>

export interface UserOptions {
  readonly name?: string
  /** When its JWT ends. @default never */
  readonly until?: Date
  /** Subjects it may publish to and listen to. @default all */
  readonly publish?: readonly string[]
  readonly subscribe?: readonly string[]
}

/** A user of the account. */
export interface OperatorUser {
  readonly publicKey: string
  readonly seed: string
  /** What a credentials file holds. */
  readonly creds: string
}

export interface ConfigOptions {
  /** Users whose JWTs do not count any more, by public key. */
  readonly revoked?: readonly string[]
  /** When the JWT of the account ends. @default never */
  readonly until?: Date
  /** @default true */
  readonly hasJetStream?: boolean
}

/** An operator with one account, and a system account beside it, as `nsc` would make them. */
export interface Operator {
  user(options?: UserOptions): OperatorUser
  /** What the server's configuration has of it: all accounts in its memory. */
  config(options?: ConfigOptions): string
}

export function createTestOperator(): Operator {
  const operator = nkeys.createOperator()
  const account = nkeys.createAccount()
  const system = nkeys.createAccount()
  return {
    user({ name = 'user', until, publish, subscribe } = {}) {
      const pair = nkeys.createUser()
      const rights = (allow: readonly string[] | undefined) => (allow === undefined ? {} : { allow })
      const jwt = sign(account, pair, name, until, {
        ...{ pub: rights(publish), sub: rights(subscribe), subs: -1, data: -1, payload: -1 },
        type: 'user',
      })
      const seed = text(pair.getSeed())
      return { publicKey: pair.getPublicKey(), seed, creds: credsText(jwt, seed) }
    },
    config({ revoked = [], until, hasJetStream = true } = {}) {
      const at = Math.floor(Date.now() / 1_000) + 1
      const revocations = Object.fromEntries(revoked.map((key) => [key, at]))
      const facts = accountFacts(hasJetStream)
      const own = sign(operator, account, 'A', until, { ...facts, revocations })
      const ofSystem = sign(operator, system, 'SYS', undefined, accountFacts(false))
      const ofOperator = sign(operator, operator, 'O', undefined, { type: 'operator' })
      return [
        `operator: ${ofOperator}`,
        `system_account: ${system.getPublicKey()}`,
        'resolver: MEMORY',
        `resolver_preload: { ${account.getPublicKey()}: "${own}", ${system.getPublicKey()}: "${ofSystem}" }`,
      ].join('\n')
    },
  }
}

function accountFacts(hasJetStream: boolean) {
  const most = hasJetStream ? -1 : 0
  return {
    limits: {
      ...{ subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 },
      ...{ mem_storage: most, disk_storage: most, streams: most, consumer: most },
    },
    default_permissions: { pub: {}, sub: {} },
    type: 'account',
  }
}

/** A JWT of NATS, version 2. */
function sign(
  issuer: KeyPair,
  subject: KeyPair,
  name: string,
  until: Date | undefined,
  nats: object,
): string {
  const claims = {
    jti: crypto.randomUUID(),
    iat: Math.floor(Date.now() / 1_000),
    ...(until !== undefined && { exp: Math.floor(until.getTime() / 1_000) }),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name,
    nats: { ...nats, version: 2 },
  }
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`
}

function credsText(jwt: string, seed: string): string {
  return [
    '-----BEGIN NATS USER JWT-----',
    jwt,
    '------END NATS USER JWT------',
    '',
    '-----BEGIN USER NKEY SEED-----',
    seed,
    '------END USER NKEY SEED------',
    '',
  ].join('\n')
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}
