import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { access, chmod, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PeltonError } from '../../../shared/sdk/errors.ts'

/** The tokens of the callers that may use the API. */
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
 * @throws PeltonError `invalid-configuration` for tokens that cannot be used, or a folder that cannot be written or holds
 *   a token that is too short
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
  const token = await readOrMake(file).catch((cause: unknown) => {
    throw notKept(
      'the token of the control service cannot be kept',
      file,
      'Set PELTON_CONTROL_TOKEN, or a folder that can be written.',
      cause,
    )
  })
  if (token.length >= LEAST_LENGTH) return token
  throw notKept(
    `the token that is kept has ${token.length} characters, and needs ${LEAST_LENGTH} at least`,
    file,
    'Remove the file, and a new one is made; or set PELTON_CONTROL_TOKEN.',
  )
}

async function readOrMake(file: string): Promise<string> {
  await mkdir(join(file, '..'), { recursive: true, mode: 0o700 })
  const isThere = await access(file).then(
    () => true,
    () => false,
  )
  if (!isThere) await make(file)
  await chmod(file, 0o600)
  return (await readFile(file, 'utf8')).trim()
}

/** Whole or not at all, whatever ends the process or the machine. Of several at once the first one's stays. */
async function make(file: string): Promise<void> {
  const fresh = `${file}.${randomBytes(6).toString('hex')}`
  try {
    const token = `${randomBytes(32).toString('hex')}\n`
    await writeFile(fresh, token, { mode: 0o600, flag: 'wx', flush: true })
    await link(fresh, file).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') await rename(fresh, file) // a file system without hard links
    })
  } finally {
    await rm(fresh, { force: true })
  }
}

function notKept(description: string, file: string, remedy: string, cause?: unknown): PeltonError {
  const details = { field: 'PELTON_DATA', value: file, remedy }
  return new PeltonError('invalid-configuration', description, details, cause)
}
