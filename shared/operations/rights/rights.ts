import { gatewayRights, producerRights, subscriberRights } from './client-roles.ts'
import { createNames, type Pelton } from './names.ts'
import { checkUsers, type RightsOptions, resolveOptions } from './options.ts'
import { adminRights, controlRights, monitorRights, workerRights } from './roles.ts'
import { sharesOf } from './shares.ts'
import type { AccountName, AccountRights, Import, Rights, Share, UserRights } from './table.ts'

/**
 * The users of one Pelton, or of several on the same accounts, each with the least rights.
 *
 * @throws PeltonError `invalid-argument` for a name that cannot be used, or for two users that would be one
 */
export function rightsOf(options: RightsOptions = {}): Rights {
  const { peltons, inboxPrefix } = resolveOptions(options)
  const users = [...peltons.flatMap(usersOf), monitorRights(inboxPrefix)]
  checkUsers(users.map(({ user }) => user))
  const shares = merged(peltons.flatMap((pelton) => sharesOf(createNames(pelton))))
  const [system, others] = [users.slice(-1), users.slice(0, -1)]
  const accounts = options.oneAccount === true ? [inOneAccount(others)] : inAccounts(others, shares)
  return { accounts: [...accounts, { ...NOTHING, name: 'SYS', users: system }] }
}

const NOTHING = { hasJetStream: false, exports: [], imports: [] } as const

function inOneAccount(users: readonly UserRights[]): AccountRights {
  const moved = users.map((user) => ({ ...user, account: 'PELTON' as const }))
  return { ...NOTHING, name: 'PELTON', hasJetStream: true, users: moved }
}

function inAccounts(users: readonly UserRights[], shares: readonly Share[]): readonly AccountRights[] {
  const account = (name: AccountName): AccountRights => ({
    ...NOTHING,
    name,
    users: users.filter((user) => user.account === name),
    imports: importsOf(name, shares),
  })
  return [
    { ...account('PELTON'), hasJetStream: true, exports: shares },
    account('PRODUCERS'),
    account('SUBSCRIBERS'),
    account('GATEWAYS'),
  ]
}

function usersOf(pelton: Pelton): readonly UserRights[] {
  const names = createNames(pelton)
  const { prefix, domain } = pelton
  const users = [
    adminRights(names),
    controlRights(names),
    ...pelton.pools.map((pool) => workerRights(names, pool)),
    ...pelton.producers.map((publisher) => producerRights(names, publisher)),
    ...pelton.subscribers.map((name) => subscriberRights(names, name)),
    ...pelton.gateways.map((publisher) => gatewayRights(names, publisher)),
  ]
  const its = { ...(prefix !== undefined && { prefix }), ...(domain !== undefined && { domain }) }
  return users.map((user) => ({ ...user, ...its }))
}

/** What is shared under one subject is shared once, with all who take it. */
function merged(shares: readonly Share[]): readonly Share[] {
  const once = new Map<string, Share>()
  for (const share of shares) {
    const key = `${share.kind} ${share.subject}`
    const { to = [], ...known } = once.get(key) ?? share
    once.set(key, { ...known, to: [...new Set([...to, ...share.to])] })
  }
  return [...once.values()]
}

function importsOf(name: AccountName, shares: readonly Share[]): readonly Import[] {
  return shares.filter(({ to }) => to.includes(name)).map((share) => ({ from: 'PELTON', share }))
}

/** Every user of all accounts. */
export function allUsers({ accounts }: Rights): readonly UserRights[] {
  return accounts.flatMap(({ users }) => users)
}
