import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { renderAccountsFile } from '../../../shared/operations/rights/accounts-file.ts'
import { accountClaims } from '../../../shared/operations/rights/claims.ts'
import {
  type Login,
  renderHelmValues,
  renderKubernetes,
} from '../../../shared/operations/rights/kubernetes.ts'
import { renderNscCommands } from '../../../shared/operations/rights/nsc-commands.ts'
import { allUsers } from '../../../shared/operations/rights/rights.ts'
import type { Rights } from '../../../shared/operations/rights/table.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'

export const FORMS = ['accounts', 'nsc', 'claims', 'kubernetes', 'helm'] as const
export type Form = (typeof FORMS)[number]

const PASSWORD_BYTES = 24

/**
 * Rights in one of their forms.
 *
 * @param creds folder with the credentials of each user, where they log in with those
 * @throws PeltonError `invalid-argument` for a folder that the form has no use for, or without the file of a user
 */
export async function renderForm(form: Form, rights: Rights, creds: string | undefined): Promise<string> {
  if (creds !== undefined && form !== 'kubernetes' && form !== 'helm')
    throw new PeltonError('invalid-argument', `the form ${form} has no use for credentials`, {
      field: '--creds',
      value: showValue(creds),
      remedy: 'Leave it out, or print the form kubernetes or helm.',
    })
  if (form === 'accounts') return renderAccountsFile(rights)
  if (form === 'nsc') return renderNscCommands(rights)
  if (form === 'claims') return renderClaims(rights)
  if (form === 'helm') return renderHelmValues(rights, creds === undefined ? 'passwords' : 'creds')
  return renderKubernetes(rights, creds === undefined ? NEW_PASSWORDS : await readCreds(rights, creds))
}

/** Letters and digits: one of them is part of an address. */
const NEW_PASSWORDS: Login = {
  kind: 'passwords',
  passwordOf: () => randomBytes(PASSWORD_BYTES).toString('hex'),
}

async function readCreds(rights: Rights, folder: string): Promise<Login> {
  const files = new Map<string, string>()
  for (const { user } of allUsers(rights)) files.set(user, await readCredsFile(join(folder, `${user}.creds`)))
  return { ...NEW_PASSWORDS, kind: 'creds', credsOf: (user) => files.get(user) ?? '' }
}

async function readCredsFile(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw unusable('the credentials of a user cannot be read', path, cause)
  })
  if (!text.includes('BEGIN NATS USER JWT') || !text.includes('BEGIN USER NKEY SEED'))
    throw unusable('this file holds no credentials of a user', path)
  return text
}

function unusable(text: string, path: string, cause?: unknown): PeltonError {
  const remedy = 'Write it with `nsc generate creds`: `pelton rights --form nsc` prints the commands.'
  return new PeltonError(
    'invalid-argument',
    text,
    { field: '--creds', value: showValue(path), remedy },
    cause,
  )
}

/** Claims with names where keys and tokens belong: these are not known here. */
function renderClaims(rights: Rights): string {
  const claims = accountClaims(rights, {
    account: (name) => `<public key of ${name}>`,
    signer: (user) => `<public key that signs ${user}>`,
    activation: (importer, { from, subject }) => `<activation of ${subject} by ${from} for ${importer}>`,
  })
  return `${JSON.stringify(Object.fromEntries(claims), undefined, 2)}\n`
}
