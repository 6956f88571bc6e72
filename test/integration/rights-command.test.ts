import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { renderAccountsFile } from '../../shared/operations/rights/accounts-file.ts'
import { renderNscCommands } from '../../shared/operations/rights/nsc-commands.ts'
import { allUsers, rightsOf } from '../../shared/operations/rights/rights.ts'
import { runCli } from './cli-process.ts'
import { createOperatorMode } from './operator-mode.ts'

const folder = await mkdtemp(join(tmpdir(), 'pelton-rights-command-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

const OPTIONS = ['--prefix', '', 'staging', '--pool', 'default', 'gpu', '--domain', 'hub']
const ASKED = rightsOf({ prefixes: ['', 'staging'], pools: ['default', 'gpu'], domain: 'hub' })

/** Secrets of what `--form kubernetes` printed, by name. */
function secretsOf(text: string): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const documents = parseAllDocuments(text).map((document) => document.toJS())
  return new Map(
    documents
      .filter(({ kind }) => kind === 'Secret')
      .map(({ metadata, stringData }) => [metadata.name, stringData]),
  )
}

describe('pelton rights', () => {
  test('prints the accounts, and the commands for nsc, byte for byte', async () => {
    expect(await runCli(['rights'])).toMatchObject({ code: 0, out: renderAccountsFile(rightsOf()), err: '' })
    expect((await runCli(['rights', ...OPTIONS])).out).toBe(renderAccountsFile(ASKED))
    const given = ['--producer', 'orders:normal,low', 'batch:low', '--gateway', 'door', 'edge:low']
    const lanes = rightsOf({ producers: given.slice(1, 3), gateways: given.slice(4) })
    expect((await runCli(['rights', ...given])).out).toBe(renderAccountsFile(lanes))
    const nsc = await runCli(['rights', '--form', 'nsc', '--one-account', '--inbox-prefix', 'acme.replies'])
    const asked = rightsOf({ oneAccount: true, inboxPrefix: 'acme.replies' })
    expect(nsc.out).toBe(renderNscCommands(asked))
  })

  test('prints claims with names where keys and tokens belong', async () => {
    const { code, out } = await runCli(['rights', '--form', 'claims'])
    expect(code).toBe(0)
    const claims = JSON.parse(out)
    expect(Object.keys(claims)).toEqual(['PELTON', 'PRODUCERS', 'SUBSCRIBERS', 'GATEWAYS', 'SYS'])
    expect(claims.PRODUCERS.signing_keys[0]).toMatchObject({ key: '<public key that signs producer>' })
    expect(claims.PRODUCERS.imports[0]).toMatchObject({ account: '<public key of PELTON>' })
  })

  test('makes new passwords for Kubernetes each time, none of them twice', async () => {
    const [one, other] = await Promise.all(
      [1, 2].map(async () => secretsOf((await runCli(['rights', '--form', 'kubernetes', ...OPTIONS])).out)),
    )
    const passwords = [one, other].flatMap((secrets) => Object.values(secrets?.get('pelton-passwords') ?? {}))
    expect(passwords).toHaveLength(2 * (allUsers(ASKED).length + 2))
    expect(passwords.filter((password) => !/^[0-9a-f]{48}$/.test(password))).toEqual([])
    expect(new Set(passwords).size).toBe(passwords.length)
  })

  test('puts the credentials of a folder into a Secret, and takes the passwords away from the server', async () => {
    const { creds } = await createOperatorMode(rightsOf())
    await mkdir(join(folder, 'creds'))
    for (const [user, text] of creds) await writeFile(join(folder, 'creds', `${user}.creds`), text)
    const manifest = await runCli(['rights', '--form', 'kubernetes', '--creds', join(folder, 'creds')])
    expect(manifest, manifest.err).toMatchObject({ code: 0 })
    const files = await Promise.all(
      [...creds.keys()].map(async (user) => [
        `${user}.creds`,
        await readFile(join(folder, 'creds', `${user}.creds`), 'utf8'),
      ]),
    )
    const secrets = secretsOf(manifest.out)
    expect(secrets.get('pelton-creds')).toEqual(Object.fromEntries(files))
    // Of the servers among themselves, and of the callers of control: no users.
    expect(Object.keys(secrets.get('pelton-passwords') ?? {})).toEqual(['route', 'control-token'])
    const values = await runCli(['rights', '--form', 'helm', '--creds', join(folder, 'creds')])
    expect(values.out).toContain('NATS_WORKER_PASSWORD: null')
  })

  test.each([
    [
      ['--prefix', 'results'],
      ['prefix', 'results', 'Use 1 to 32 of [A-Za-z0-9_]'],
    ],
    [
      ['--pool', 'a', 'A'],
      ['NATS_WORKER_A_PASSWORD', 'worker-A', 'other names'],
    ],
    [
      ['--producer', 'orders:urgent'],
      ['lane', 'orders:urgent', 'orders:normal,low'],
    ],
    [
      ['--domain', 'a.b'],
      ['domain', 'a.b', 'jetstream { domain: hub }'],
    ],
    [
      ['--inbox-prefix', '>'],
      ['inbox-prefix', '>', 'such as _INBOX'],
    ],
    [
      ['--form', 'yaml'],
      ['--form', 'yaml', 'accounts, nsc, claims, kubernetes, helm'],
    ],
    [
      ['--creds', 'nowhere'],
      ['--creds', 'nowhere', 'kubernetes or helm'],
    ],
    [
      ['--form', 'kubernetes', '--creds', 'nowhere'],
      ['--creds', 'nowhere/admin.creds', 'nsc generate creds'],
    ],
  ])('refuses %j, and says what helps', async (args, said) => {
    const { code, out, err } = await runCli(['rights', ...args])
    expect({ code, out }).toEqual({ code: 2, out: '' })
    for (const text of said) expect(err).toContain(text)
  })

  test('takes no file for credentials that is none', async () => {
    await mkdir(join(folder, 'other'))
    await writeFile(join(folder, 'other', 'admin.creds'), 'secret-of-somebody')
    const refused = await runCli(['rights', '--form', 'kubernetes', '--creds', join(folder, 'other')])
    expect(refused).toMatchObject({ code: 2, out: '' })
    expect(refused.err).toContain('holds no credentials of a user')
    expect(refused.err).not.toContain('secret-of-somebody')
  })
})
