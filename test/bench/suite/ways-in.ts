import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { nkeys } from '@nats-io/transport-node'
import { subjectsOf } from '../../../shared/operations/rights/claims.ts'
import { allUsers, rightsOf } from '../../../shared/operations/rights/rights.ts'
import type { UserRights } from '../../../shared/operations/rights/table.ts'
import { createAuthority, serverTls } from '../../kit/certificates.ts'
import type { StageAccess } from '../../scale/stage.ts'

/** How a worker gets to its events. */
interface WayIn {
  readonly name: string
  /** For people. */
  readonly title: string
  readonly settings: string
  /** Makes what it needs, in a folder that is there. */
  readonly open: (folder: string) => Promise<OpenWay>
}

/** What the broker and this process have of a way in, and the settings of a worker. */
export interface OpenWay {
  readonly access: StageAccess
  readonly env: NodeJS.ProcessEnv
}

const PREFIX = 'acme'

export const WAYS_IN: readonly WayIn[] = [
  {
    name: 'plain',
    title: 'whoever comes, in the clear',
    settings: 'no prefix',
    open: async () => ({ access: {}, env: {} }),
  },
  {
    name: 'tls',
    title: 'the broker takes nothing in the clear',
    settings: 'certificate on P-256, of an authority that the worker is told by PELTON_NATS_TLS_CA',
    open: withTls,
  },
  {
    name: 'rights',
    title: 'the broker takes nobody else, and nothing else of them',
    settings: 'PELTON_NATS_NKEY, what `pelton rights` gives a worker, in the clear',
    open: withRights,
  },
  {
    name: 'prefix',
    title: 'streams, subjects and buckets with a prefix',
    settings: `PELTON_PREFIX=${PREFIX}, in the clear`,
    open: async () => ({ access: { prefix: PREFIX }, env: { PELTON_PREFIX: PREFIX } }),
  },
]

/** Opens each way, in a folder of its own below another. */
export async function openWays(folder: string): Promise<readonly (WayIn & OpenWay)[]> {
  const opened = WAYS_IN.map(async (way) => {
    const own = join(folder, way.name)
    await mkdir(own, { recursive: true })
    return { ...way, ...(await way.open(own)) }
  })
  return Promise.all(opened)
}

async function withTls(folder: string): Promise<OpenWay> {
  const authority = await createAuthority(folder)
  const config = await serverTls(authority, '', ['127.0.0.1'])
  return {
    access: { config, security: { tls: { caFile: authority.file } } },
    env: { PELTON_NATS_TLS_CA: authority.file },
  }
}

/** This process may do anything: it fills and audits. */
async function withRights(folder: string): Promise<OpenWay> {
  const [own, worker] = await Promise.all([writeNkey(folder, 'bench'), writeNkey(folder, 'worker')])
  const rights = allUsers(rightsOf()).find(({ role }) => role === 'worker')
  if (rights === undefined) throw new Error('there is no worker among the roles')
  const users = [`{ nkey: ${own.key} }`, `{ nkey: ${worker.key}, permissions: ${permissionsOf(rights)} }`]
  return {
    access: { config: `authorization { users: [${users.join(', ')}] }`, security: { nkeyFile: own.file } },
    env: { PELTON_NATS_NKEY: worker.file, PELTON_NATS_INBOX_PREFIX: rights.inbox },
  }
}

async function writeNkey(
  folder: string,
  name: string,
): Promise<{ readonly key: string; readonly file: string }> {
  const pair = nkeys.createUser()
  const file = join(folder, `${name}.nk`)
  await writeFile(file, pair.getSeed(), { mode: 0o600 })
  return { key: pair.getPublicKey(), file }
}

/** As nats-server reads it: JSON is. */
function permissionsOf({ publish, subscribe }: UserRights): string {
  return JSON.stringify({ publish: subjectsOf(publish), subscribe: subjectsOf(subscribe) })
}
