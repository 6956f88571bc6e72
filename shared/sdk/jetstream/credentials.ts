import {
  type Authenticator,
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node'
import { messageOf, showValue } from '../errors.ts'
import { type Naming, type SecurityOptions, splitUrl, unusable } from './security.ts'
import { readSecurityFile } from './security-file.ts'

/** Who a client is, with the address that may say so too. */
export type IdentityOptions = SecurityOptions & { readonly url?: string }

/**
 * Says to the broker who this is, by what the files hold at each connect. A file that cannot be read then, or holds nothing of
 * use, is told of, once until it can be read again, and what was read before is said again: it may be between two writes.
 *
 * @returns undefined where nothing says who this is
 * @throws PeltonError by {@link unusable} where a file cannot be used now
 */
export function openAuthenticator(
  options: IdentityOptions,
  naming: Naming,
  onTrouble: (thrown: unknown) => void,
): Authenticator | undefined {
  const first = readAuthenticator(options, naming)
  if (first === undefined) return undefined
  let last = first
  let told: string | undefined
  return (nonce) => {
    try {
      last = readAuthenticator(options, naming) ?? last
      told = undefined
    } catch (thrown) {
      // Thrown here, it would close the connection for good. A client that is refused comes back four times a second.
      const text = messageOf(thrown)
      if (text !== told) onTrouble(thrown)
      told = text
    }
    return last(nonce)
  }
}

/** @throws PeltonError by {@link unusable} */
export function readAuthenticator(options: IdentityOptions, naming: Naming): Authenticator | undefined {
  const { credsFile, nkeyFile, tokenFile } = options
  if (credsFile !== undefined) {
    const bytes = readSecurityFile('credsFile', credsFile, naming)
    return proven(credsAuthenticator(bytes), 'credsFile', credsFile, naming)
  }
  if (nkeyFile !== undefined) {
    const seed = Buffer.from(seedIn(readSecurityFile('nkeyFile', nkeyFile, naming).toString()))
    return proven(nkeyAuthenticator(seed), 'nkeyFile', nkeyFile, naming)
  }
  const { userInfo } = splitUrl(options.url)
  const ofUrl = { user: undefined, password: undefined, token: undefined, ...userInfo }
  const user = userOf(options, naming)
  if (user !== undefined)
    return usernamePasswordAuthenticator(user, passwordOf(options, naming) ?? ofUrl.password)
  const token = tokenFile === undefined ? options.token : readSecret('tokenFile', tokenFile, naming)
  const said = token ?? ofUrl.token
  return said === undefined ? undefined : tokenAuthenticator(said)
}

/** The user that is named, by a setting, a file or the address. @throws PeltonError by {@link unusable} */
export function userOf(options: IdentityOptions, naming: Naming): string | undefined {
  const { user, userFile } = options
  if (userFile !== undefined) return readSecret('userFile', userFile, naming)
  const { userInfo } = splitUrl(options.url)
  return user ?? (userInfo !== undefined && 'user' in userInfo ? userInfo.user : undefined)
}

function passwordOf({ password, passwordFile }: SecurityOptions, naming: Naming): string | undefined {
  return passwordFile === undefined ? password : readSecret('passwordFile', passwordFile, naming)
}

type FileField = 'userFile' | 'passwordFile' | 'tokenFile' | 'credsFile' | 'nkeyFile'

/** One line: an editor ends it with a line break that is none of the secret. */
function readSecret(field: FileField, path: string, naming: Naming): string {
  const text = readSecurityFile(field, path, naming)
    .toString()
    .replace(/\r?\n$/, '')
  if (text !== '') return text
  throw unusable(field, naming, {
    text: 'this file is empty',
    value: showValue(path),
    remedy: 'Write the secret into it, and nothing else.',
  })
}

/** A file of `nk` is the seed alone; one of `nsc` has lines around it. */
function seedIn(text: string): string {
  return /^\s*(S[A-Z2-7]{40,})\s*$/m.exec(text)?.[1] ?? text.trim()
}

/** An authenticator that has signed once: what cannot sign would close the connection. The cause may hold the secret: it is dropped. */
function proven(
  authenticator: Authenticator,
  field: 'credsFile' | 'nkeyFile',
  path: string,
  naming: Naming,
): Authenticator {
  try {
    authenticator('nonce')
    return authenticator
  } catch {
    const isCreds = field === 'credsFile'
    throw unusable(field, naming, {
      text: isCreds ? 'this file holds no credentials' : 'this file holds no seed of an nkey',
      value: showValue(path),
      remedy: isCreds
        ? 'Write it with `nsc generate creds`: a JWT and the seed of its user.'
        : 'Write it with `nsc` or `nk -gen user`: one line that begins with SU.',
    })
  }
}
