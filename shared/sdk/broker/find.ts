import { constants } from 'node:fs'
import { access, readdir, stat } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { MINIMUM_SERVER } from '../contract/topology.ts'
import { messageOf, PeltonError, showValue } from '../errors.ts'
import { runCommand } from './command.ts'

/** A nats-server that has been run once and is new enough. */
export interface BrokerBinary {
  /** Absolute path of the executable. */
  readonly path: string
  /** What `--version` says, without a leading `v`: `2.15.1`. */
  readonly version: string
  readonly source: 'PELTON_NATS_SERVER' | 'PATH' | 'cache' | 'release' | 'debian'
}

export interface FindOptions {
  readonly env: NodeJS.ProcessEnv
  /** Pelton's cache folder; it need not exist. */
  readonly cacheDir: string
  /** Called with one line for each server that was found and passed over. */
  note(text: string): void
}

/** Name of the cached binary and, with `-<version>`, of the folder of one version in the cache. */
export const BROKER_PROGRAM = 'nats-server'

/** How people get a nats-server when Pelton cannot: the end of every error about it. */
export const INSTALL_ADVICE =
  `Install nats-server ${MINIMUM_SERVER} or newer (\`brew install nats-server\`, ` +
  '`apt install nats-server` where the package is new enough, ' +
  'or a release from https://github.com/nats-io/nats-server/releases) ' +
  'and put it on PATH or name it in PELTON_NATS_SERVER; or run one elsewhere ' +
  '(`docker run -p 4222:4222 nats:2.15-alpine -js`) and set PELTON_NATS_URL'

/**
 * Whether `version` is `minimum` or newer. A leading `v` and build metadata are ignored. As in semantic
 * versioning a pre-release comes before its release: `2.15.0-RC.1` is at least `2.14.0`, `2.14.0-dev` is not.
 * Text that is no version is never new enough.
 */
export function isVersionAtLeast(version: string, minimum: string): boolean {
  return compareVersions(version, minimum) >= 0
}

/**
 * Finds a usable nats-server without obtaining one: `PELTON_NATS_SERVER`, then `PATH`, then Pelton's cache.
 * What is on `PATH` or in the cache and cannot be used is noted and passed over.
 * Throws `broker-not-found` or `broker-too-old` only for what `PELTON_NATS_SERVER` names.
 */
export async function findBroker(options: FindOptions): Promise<BrokerBinary | undefined> {
  const named = options.env.PELTON_NATS_SERVER
  if (named !== undefined && named !== '') return namedBroker(resolve(named), options.env)
  return (await brokerOnPath(options)) ?? (await cachedBroker(options))
}

/**
 * Runs `path --version`. Throws an Error of one line when it does not run or is no nats-server.
 * @returns the version without a leading `v`
 */
export async function brokerVersion(path: string, env: NodeJS.ProcessEnv): Promise<string> {
  const text = await runCommand(path, ['--version'], { env, timeoutMs: 10_000 })
  const version = /^nats-server: v?(\S+)/m.exec(text)?.[1]
  if (version === undefined)
    throw new Error(`${path} --version says ${showValue(text.trim())}, not nats-server's`)
  return version
}

async function namedBroker(path: string, env: NodeJS.ProcessEnv): Promise<BrokerBinary> {
  const details = { field: 'PELTON_NATS_SERVER', value: path, remedy: INSTALL_ADVICE }
  const version = await brokerVersion(path, env).catch((cause: unknown) => {
    throw new PeltonError('broker-not-found', `no nats-server runs there: ${textOf(cause)}`, details, cause)
  })
  if (!isVersionAtLeast(version, MINIMUM_SERVER)) {
    const what = `nats-server ${version} is older than ${MINIMUM_SERVER}`
    throw new PeltonError('broker-too-old', what, details)
  }
  return { path, version, source: 'PELTON_NATS_SERVER' }
}

async function brokerOnPath(options: FindOptions): Promise<BrokerBinary | undefined> {
  const folders = (options.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const folder of new Set(folders)) {
    const found = await usableBroker(resolve(folder, BROKER_PROGRAM), 'PATH', options)
    if (found !== undefined) return found
  }
  return undefined
}

/** The newest usable server in the cache. */
export async function cachedBroker(options: FindOptions): Promise<BrokerBinary | undefined> {
  const names = await readdir(options.cacheDir).catch(() => [])
  const prefix = `${BROKER_PROGRAM}-`
  const versions = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  for (const version of versions.sort((a, b) => compareVersions(b, a))) {
    const path = resolve(options.cacheDir, `${prefix}${version}`, BROKER_PROGRAM)
    const found = await usableBroker(path, 'cache', options)
    if (found !== undefined) return found
  }
  return undefined
}

async function usableBroker(
  path: string,
  source: 'PATH' | 'cache',
  { env, note }: FindOptions,
): Promise<BrokerBinary | undefined> {
  if (!(await isExecutableFile(path))) return undefined
  try {
    const version = await brokerVersion(path, env)
    if (isVersionAtLeast(version, MINIMUM_SERVER)) return { path, version, source }
    note(`${source}: ${path} is ${version}, older than ${MINIMUM_SERVER}; passed over`)
  } catch (error) {
    note(`${source}: ${textOf(error)}; passed over`)
  }
  return undefined
}

/** Whether `path` is a file this user may run. */
async function isExecutableFile(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}

/** Absolute path of `program` on the `PATH` of `env`, or undefined. */
export async function findProgram(program: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    if (folder !== '' && (await isExecutableFile(join(folder, program)))) return resolve(folder, program)
  }
  return undefined
}

/** The text of anything thrown, on one line where it was one. */
export function textOf(thrown: unknown): string {
  if (thrown instanceof PeltonError) return thrown.description
  return messageOf(thrown)
}

interface Version {
  readonly numbers: readonly [number, number, number]
  readonly preRelease: string
}

/** Negative when `a` is older; text that is no version is older than every version. */
function compareVersions(a: string, b: string): number {
  const left = parseVersion(a)
  const right = parseVersion(b)
  if (left === undefined || right === undefined) return left === right ? 0 : left === undefined ? -1 : 1
  for (const [index, number] of left.numbers.entries()) {
    const difference = number - (right.numbers[index] ?? 0)
    if (difference !== 0) return difference
  }
  if (left.preRelease === right.preRelease) return 0
  if (left.preRelease === '' || right.preRelease === '') return left.preRelease === '' ? 1 : -1
  return left.preRelease.localeCompare(right.preRelease, 'en', { numeric: true })
}

function parseVersion(text: string): Version | undefined {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/.exec(text)
  if (match === null) return undefined
  const [, major, minor, patch, preRelease = ''] = match
  return { numbers: [Number(major), Number(minor), Number(patch)], preRelease }
}
