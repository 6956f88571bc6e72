/** What somebody may do, and what for. */
export interface Right {
  readonly subjects: readonly string[]
  readonly why: string
}

export type Role = 'admin' | 'control' | 'worker' | 'producer' | 'gateway' | 'subscriber' | 'monitor'

/** Accounts keep apart what subjects cannot: a reply subject is not held against the rights of whoever sends it. */
export type AccountName = 'PELTON' | 'PRODUCERS' | 'SUBSCRIBERS' | 'GATEWAYS' | 'SYS'

/** A user at the broker, with the least rights. */
export interface UserRights {
  readonly user: string
  readonly role: Role
  readonly account: AccountName
  /** Who it is for, and what to know of it: lines of text. */
  readonly about: readonly string[]
  /** Prefix and JetStream domain of its Pelton, where it has them. */
  readonly prefix?: string
  readonly domain?: string
  /** Where its replies lie: `<inbox>.>`, and nowhere else. */
  readonly inbox: string
  readonly publish: readonly Right[]
  readonly subscribe: readonly Right[]
}

/** What one account lets others use: a service they may ask, or a stream of messages they may hear. */
export interface Share {
  readonly kind: 'service' | 'stream'
  readonly subject: string
  readonly to: readonly AccountName[]
  /** How many answers a request may have. */
  readonly answers: 'one' | 'many'
  readonly why: string
}

/** What an account takes of what another one shares. */
export interface Import {
  readonly from: AccountName
  readonly share: Share
}

export interface AccountRights {
  readonly name: AccountName
  readonly hasJetStream: boolean
  readonly users: readonly UserRights[]
  readonly exports: readonly Share[]
  readonly imports: readonly Import[]
}

/** Who may do what at the broker: the system account is the last. */
export interface Rights {
  readonly accounts: readonly AccountRights[]
}
