import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { MINIMUM_SERVER } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import { downloadDebianPackage } from './debian.ts'
import {
  BROKER_PROGRAM,
  type BrokerBinary,
  brokerVersion,
  findBroker,
  INSTALL_ADVICE,
  isVersionAtLeast,
  textOf,
} from './find.ts'
import { downloadRelease, RELEASE_BASE_URL } from './release.ts'

export interface EnsureBrokerOptions {
  /**
   * Default: `process.env`. Read: `PELTON_NATS_SERVER`, `PELTON_NATS_RELEASE_URL`, `PATH`, `XDG_CACHE_HOME`
   * and `HOME`.
   */
  readonly env?: NodeJS.ProcessEnv
  /** Default: `$XDG_CACHE_HOME/pelton`, else `~/.cache/pelton`. */
  readonly cacheDir?: string
  /** Called with one line for each step that may take time and each server passed over. Default: silence. */
  readonly note?: (text: string) => void
  /** Mirror of the official releases. Default: `PELTON_NATS_RELEASE_URL`, else the releases' own page. */
  readonly releaseBaseUrl?: string
}

interface Obtaining {
  readonly env: NodeJS.ProcessEnv
  readonly cacheDir: string
  readonly baseUrl: string
  note(text: string): void
}

interface Way {
  readonly source: 'release' | 'debian'
  readonly title: string
  /** Leaves a binary somewhere in `workDir` and returns its path. */
  download(workDir: string): Promise<string>
}

/**
 * Finds a nats-server of at least {@link MINIMUM_SERVER} or obtains one into Pelton's cache:
 * `PELTON_NATS_SERVER`, `PATH`, the cache, the official release, Debian's newest package, in this order.
 * Safe to call from many processes at once, and again. Changes nothing outside the cache folder.
 *
 * Throws `broker-too-old` or `broker-not-found` for what `PELTON_NATS_SERVER` names, and one
 * `broker-not-found` that lists everything tried when nothing works.
 */
export async function ensureBroker(options: EnsureBrokerOptions = {}): Promise<BrokerBinary> {
  const { env = process.env, note = () => {} } = options
  const cacheDir = resolve(options.cacheDir ?? defaultCacheDir(env))
  const baseUrl = options.releaseBaseUrl ?? (env.PELTON_NATS_RELEASE_URL || RELEASE_BASE_URL)
  const tried: string[] = []
  const noteAndKeep = (text: string) => {
    tried.push(text)
    note(text)
  }
  const found = await findBroker({ env, cacheDir, note: noteAndKeep })
  if (found !== undefined) return found

  if (!tried.some((text) => text.startsWith('PATH'))) tried.unshift('PATH: no nats-server on it')
  if (!tried.some((text) => text.startsWith('cache'))) tried.push(`cache: none in ${cacheDir}`)
  const obtaining = { env, cacheDir, baseUrl, note }
  for (const way of waysToObtain(obtaining)) {
    try {
      return await obtain(way, obtaining)
    } catch (error) {
      tried.push(`${way.title}: ${textOf(error)}`)
      note(`nats-server: ${way.title} failed: ${textOf(error)}`)
    }
  }
  throw notFound(tried)
}

/** `$XDG_CACHE_HOME/pelton`, else `~/.cache/pelton`; as specified, a relative value is ignored. */
export function defaultCacheDir(env: NodeJS.ProcessEnv): string {
  const { XDG_CACHE_HOME: cacheHome = '', HOME: home = '' } = env
  return isAbsolute(cacheHome) ? join(cacheHome, 'pelton') : join(home || homedir(), '.cache', 'pelton')
}

function waysToObtain({ env, baseUrl, note }: Obtaining): readonly Way[] {
  return [
    {
      source: 'release',
      title: 'official release',
      download: (workDir) => downloadRelease({ env, baseUrl, workDir, note }),
    },
    {
      source: 'debian',
      title: 'Debian package',
      download: (workDir) => downloadDebianPackage({ env, workDir, note }),
    },
  ]
}

/** Works in a folder of its own inside the cache, so that moving the result into place is one rename. */
async function obtain(way: Way, { env, cacheDir, note }: Obtaining): Promise<BrokerBinary> {
  await mkdir(cacheDir, { recursive: true }).catch((cause: unknown) => {
    throw new Error(`the cache folder cannot be made (${textOf(cause)}); set XDG_CACHE_HOME`, { cause })
  })
  const workDir = await mkdtemp(join(cacheDir, '.obtaining-'))
  try {
    const binary = await way.download(workDir)
    await chmod(binary, 0o755)
    const version = await brokerVersion(binary, env)
    if (!isVersionAtLeast(version, MINIMUM_SERVER)) {
      throw new Error(`it holds nats-server ${version}, older than ${MINIMUM_SERVER}`)
    }
    const finished = join(workDir, 'finished')
    await mkdir(finished)
    await rename(binary, join(finished, BROKER_PROGRAM))
    const path = await moveIntoCache(finished, join(cacheDir, `${BROKER_PROGRAM}-${version}`), env)
    note(`nats-server: ${version} is ready in ${path}`)
    return { path, version, source: way.source }
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}

async function moveIntoCache(finished: string, place: string, env: NodeJS.ProcessEnv): Promise<string> {
  const path = join(place, BROKER_PROGRAM)
  for (let attempt = 1; ; attempt += 1) {
    try {
      await rename(finished, place)
      return path
    } catch (error) {
      // another process was first; its server serves as well, unless that place holds a broken one
      if (await runs(path, env)) return path
      if (attempt === 5) throw error
      await rename(place, `${finished}-replaced-${attempt}`).catch(() => {})
    }
  }
}

function runs(path: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  return brokerVersion(path, env).then(
    () => true,
    () => false,
  )
}

function notFound(tried: readonly string[]): PeltonError {
  const what = `no nats-server ${MINIMUM_SERVER} or newer was found or could be obtained. Tried:`
  const lines = ['PELTON_NATS_SERVER: not set', ...tried].map((line) => `\n  - ${line}`)
  // the advice stands on a line of its own, below the list
  return new PeltonError('broker-not-found', `${what}${lines.join('')}\n${INSTALL_ADVICE}`)
}
