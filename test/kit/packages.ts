import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)

/** What of a person's npm settings says how the registry is reached, and nothing else. */
const WAY_TO_REGISTRY =
  /^\s*(?:@[^:]+:registry|registry|\/\/|ca|cafile|strict-ssl|noproxy|proxy|https-proxy)\b/

/** Assembles and packs a package as a release does. @returns path of the tarball in `folder` */
export async function packPackage(name: 'pelton' | 'pelton-server', folder: string): Promise<string> {
  const script = join(ROOT, 'infra/scripts/packages.mjs')
  const { stdout } = await run(process.execPath, [script, folder, name])
  return stdout.trim()
}

/**
 * Environment of a machine that knows nothing of this repository: no npm settings of ours, or of the npm that runs the
 * tests, and a home of its own; but the way to the registry, npm's cache, and the nats-server that is there already.
 *
 * @param home folder that is made, and becomes the home
 */
export async function strangerEnv(home: string): Promise<NodeJS.ProcessEnv> {
  const [registry, cache, userConfig] = await Promise.all(['registry', 'cache', 'userconfig'].map(npmSetting))
  const kept = (await readFile(userConfig ?? '', 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => WAY_TO_REGISTRY.test(line))
  await mkdir(home, { recursive: true })
  await writeFile(join(home, '.npmrc'), [`registry=${registry}`, ...kept, ''].join('\n'))
  const { XDG_CACHE_HOME = join(homedir(), '.cache'), PATH = '' } = process.env
  const env = Object.entries(process.env).filter(
    ([name]) => !/^(?:npm_|PELTON_|INIT_CWD$|VITEST)/i.test(name),
  )
  return {
    ...Object.fromEntries(env),
    PATH: PATH.split(delimiter)
      .filter((entry) => !entry.startsWith(ROOT))
      .join(delimiter),
    HOME: home,
    XDG_CACHE_HOME,
    npm_config_cache: cache,
    ...(process.env.PELTON_NATS_SERVER && { PELTON_NATS_SERVER: process.env.PELTON_NATS_SERVER }),
  }
}

async function npmSetting(key: string): Promise<string> {
  const { stdout } = await run('npm', ['config', 'get', key], { cwd: ROOT })
  return stdout.trim()
}

/** Why npm cannot reach a registry; undefined where it can. */
export async function missingRegistry(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    await run('npm', ['view', '@nats-io/jetstream', 'name', '--fetch-retries=0'], { cwd: env.HOME, env })
    return undefined
  } catch (thrown) {
    return /npm (?:ERR!|error) (?:code )?(.*)/.exec(String(thrown))?.[1] ?? 'npm finds no registry'
  }
}
