import { createNames, type Pelton } from './names.ts'
import { checkUsers, type RightsOptions, resolveOptions } from './options.ts'
import {
  adminRights,
  controlRights,
  monitorRights,
  producerRights,
  subscriberRights,
  workerRights,
} from './roles.ts'
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
  const accounts = options.oneAccount === true ? [inOneAccount(others)] : inThreeAccounts(others, shares)
  return { accounts: [...accounts, { ...NOTHING, name: 'SYS', users: system }] }
}

const NOTHING = { hasJetStream: false, exports: [], imports: [] } as const

function inOneAccount(users: readonly UserRights[]): AccountRights {
  const moved = users.map((user) => ({ ...user, account: 'PELTON' as const }))
  return { ...NOTHING, name: 'PELTON', hasJetStream: true, users: moved }
}

function inThreeAccounts(users: readonly UserRights[], shares: readonly Share[]): readonly AccountRights[] {
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
  ]
}

function usersOf(pelton: Pelton): readonly UserRights[] {
  const names = createNames(pelton)
  const { prefix, domain } = pelton
  const users = [
    adminRights(names),
    controlRights(names),
    ...pelton.pools.map((pool) => workerRights(names, pool)),
    ...pelton.producers.map((name) => producerRights(names, name)),
    ...pelton.subscribers.map((name) => subscriberRights(names, name)),
  ]
  const its = { ...(prefix !== undefined && { prefix }), ...(domain !== undefined && { domain }) }
  return users.map((user) => ({ ...user, ...its }))
}

/** What several share under one subject is shared once. */
function merged(shares: readonly Share[]): readonly Share[] {
  return [...new Map(shares.map((share) => [`${share.kind} ${share.subject}`, share])).values()]
}

function importsOf(name: AccountName, shares: readonly Share[]): readonly Import[] {
  return shares.filter(({ to }) => to.includes(name)).map((share) => ({ from: 'PELTON', share }))
}

/** Every user of all accounts. */
export function allUsers({ accounts }: Rights): readonly UserRights[] {
  return accounts.flatMap(({ users }) => users)
}
