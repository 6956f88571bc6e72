import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PeltonError } from '../../../shared/sdk/errors.ts'

/** Who may use the API. */
export interface Tokens {
  /** Name of the token, or `undefined` when it is none of ours. Takes the same time for every wrong one. */
  nameOf(token: string): string | undefined
  /** Where the generated token lies; undefined when the settings gave one. */
  readonly file: string | undefined
}

/** Name of a token that has none. */
export const UNNAMED = 'http'
const FILE = 'control.token'
const LEAST_LENGTH = 16
const TOKEN = /^(?:([A-Za-z0-9_.-]{1,32}):)?([!-+\--9;-~]{1,512})$/

/**
 * The tokens of the settings; without, one that is generated once and kept in the data folder, readable by its owner
 * only.
 *
 * @throws PeltonError `invalid-configuration` for tokens that cannot be used, or a folder that cannot be written
 */
export async function openTokens(given: string | undefined, dataDir: string): Promise<Tokens> {
  if (given !== undefined) return createTokens(readTokens(given), undefined)
  const file = join(dataDir, FILE)
  return createTokens(new Map([[UNNAMED, await keptToken(file)]]), file)
}

/** Reads `token` or `name:token,name:token`. @throws PeltonError `invalid-configuration`, without the value */
export function readTokens(text: string): ReadonlyMap<string, string> {
  const tokens = new Map<string, string>()
  for (const part of text.split(',')) {
    const [, name = UNNAMED, token] = TOKEN.exec(part.trim()) ?? []
    if (token === undefined)
      throw unusable('is no token: printable characters without spaces, commas and colons')
    if (token.length < LEAST_LENGTH) throw unusable(`needs ${LEAST_LENGTH} characters at least`)
    if (tokens.has(name)) throw unusable(`has two tokens of the name ${name}`)
    tokens.set(name, token)
  }
  return tokens
}

function unusable(why: string): PeltonError {
  return new PeltonError('invalid-configuration', `a token ${why}`, {
    field: 'PELTON_CONTROL_TOKEN',
    value: '(hidden)',
    remedy: 'Take one of `openssl rand -hex 32`; several as name:token, separated by commas.',
  })
}

function createTokens(tokens: ReadonlyMap<string, string>, file: string | undefined): Tokens {
  const known = [...tokens].map(([name, token]) => ({ name, digest: digestOf(token) }))
  return {
    file,
    nameOf: (token) => {
      const digest = digestOf(token)
      return known.filter((each) => timingSafeEqual(each.digest, digest))[0]?.name
    },
  }
}

function digestOf(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}

async function keptToken(file: string): Promise<string> {
  try {
    await mkdir(join(file, '..'), { recursive: true, mode: 0o700 })
    const fresh = randomBytes(32).toString('hex')
    await writeFile(file, `${fresh}\n`, { mode: 0o600, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    await chmod(file, 0o600)
    return (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    throw new PeltonError(
      'invalid-configuration',
      'the token of the control service cannot be kept',
      {
        field: 'PELTON_DATA',
        value: file,
        remedy: 'Set PELTON_CONTROL_TOKEN, or a folder that can be written.',
      },
      cause,
    )
  }
}
