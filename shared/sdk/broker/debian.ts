import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from './command.ts'
import { BROKER_PROGRAM, findProgram } from './find.ts'

/** Debian's development suite: where its newest package of everything is. */
const SUITE = 'sid'

/** Installed by the package debian-archive-keyring on every Debian machine. */
const DEBIAN_KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

const APT_TIMEOUT_MS = 300_000

export interface DebianOptions {
  readonly env: NodeJS.ProcessEnv
  /** An empty folder of the caller's: holds apt's private state, the package and what is unpacked. */
  readonly workDir: string
  /** Keyring the archive must be signed by. Default: Debian's own. */
  readonly keyring?: string
  note(text: string): void
}

type Apt = (...args: string[]) => Promise<string>

/**
 * Downloads Debian's newest nats-server package and unpacks it into `workDir`, without root and without
 * touching the system: apt gets a sources list, a lists folder and a cache folder of its own. The archive
 * is the one this machine already uses; what it sends must be signed by Debian's keyring.
 * Throws an Error of one line when there is no apt, no archive, no package, or a signature is missing.
 * @returns path of the unpacked binary inside `workDir`
 */
export async function downloadDebianPackage(options: DebianOptions): Promise<string> {
  const { env, workDir, keyring = DEBIAN_KEYRING, note } = options
  for (const program of ['apt-get', 'dpkg', 'dpkg-deb']) {
    if ((await findProgram(program, env)) === undefined) {
      throw new Error(`this is no Debian-family machine: no ${program} on PATH`)
    }
  }
  const apt = await createPrivateApt(workDir, env)
  const archive = await debianArchive(apt, options)
  const architecture = (await dpkgArchitecture(env)).trim()
  const source = `deb [arch=${architecture} target=Packages signed-by=${keyring}] ${archive} ${SUITE} main\n`
  await writeFile(join(workDir, 'sources.list'), source)

  note(`nats-server: reading Debian's package list (${SUITE}) from ${archive}`)
  await apt('update', '-qq', '--error-on=any', ...privateSources(workDir))
  note(`nats-server: downloading Debian's newest package from ${archive}`)
  await apt('download', '-qq', ...privateSources(workDir), BROKER_PROGRAM)
  return unpack(workDir, env)
}

function dpkgArchitecture(env: NodeJS.ProcessEnv): Promise<string> {
  return runCommand('dpkg', ['--print-architecture'], { env, timeoutMs: 10_000 })
}

/** apt with the system's settings for reaching the archive (proxies, transports) and state of its own. */
async function createPrivateApt(workDir: string, env: NodeJS.ProcessEnv): Promise<Apt> {
  await mkdir(join(workDir, 'lists', 'partial'), { recursive: true })
  await mkdir(join(workDir, 'cache', 'archives', 'partial'), { recursive: true })
  const config = join(workDir, 'apt.conf')
  // the machine's hooks would clean or refresh the system's own folders
  const hooks = ['Pre-Invoke', 'Post-Invoke', 'Post-Invoke-Success']
  await writeFile(config, hooks.map((hook) => `#clear APT::Update::${hook};\n`).join(''))
  const settings = [
    `Dir::State::Lists=${join(workDir, 'lists')}`,
    `Dir::Cache=${join(workDir, 'cache')}`,
    'Dir::State::status=/dev/null',
    'Dir::Etc::preferences=/dev/null',
    'Dir::Etc::preferencesparts=/dev/null',
    'Acquire::Languages=none',
    'Acquire::PDiffs=false',
    'Acquire::GzipIndexes=true',
    'Acquire::Retries=2',
    'Acquire::http::Timeout=20',
    'Acquire::https::Timeout=20',
    'Acquire::AllowInsecureRepositories=false',
    'Acquire::AllowWeakRepositories=false',
    'APT::Get::AllowUnauthenticated=false',
    // root's apt would drop to a user that may not write into this cache
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
  ]
  const options = ['-c', config, ...settings.flatMap((setting) => ['-o', setting])]
  return (command, ...args) =>
    runCommand('apt-get', [command ?? 'help', ...options, ...args], {
      env: { ...env, LC_ALL: 'C' },
      cwd: workDir,
      timeoutMs: APT_TIMEOUT_MS,
    })
}

function privateSources(workDir: string): string[] {
  return [
    '-o',
    `Dir::Etc::sourcelist=${join(workDir, 'sources.list')}`,
    '-o',
    'Dir::Etc::sourceparts=/dev/null',
  ]
}

/** The address of the Debian archive this machine uses, as apt itself tells it: a mirror stays a mirror. */
async function debianArchive(apt: Apt, { env, note }: DebianOptions): Promise<string> {
  const format = ['--format', '$(REPO_URI)|$(ORIGIN)|$(LABEL)']
  const system = await runCommand('apt-get', ['indextargets', ...format], { env, timeoutMs: 30_000 })
  const known = firstDebian(system)
  if (known !== undefined) return known

  // apt names only archives whose lists it holds, and container images ship without any
  note("nats-server: apt holds no package lists yet; reading them into Pelton's cache")
  const problem = await apt('update', '-qq').then(
    () => undefined,
    (error: Error) => error.message,
  )
  const fresh = firstDebian(await apt('indextargets', ...format))
  if (fresh !== undefined) return fresh
  const because = problem === undefined ? '' : ` (${problem})`
  throw new Error(`apt-get indextargets names no Debian archive among this machine's sources${because}`)
}

function firstDebian(targets: string): string | undefined {
  for (const line of targets.split('\n')) {
    const [address = '', origin, label] = line.split('|')
    // the security archive has its own label and no suite of this name
    if (origin === 'Debian' && label === 'Debian' && !address.startsWith('cdrom:')) return address
  }
  return undefined
}

async function unpack(workDir: string, env: NodeJS.ProcessEnv): Promise<string> {
  const packageFile = (await readdir(workDir)).find((name) => name.endsWith('.deb'))
  if (packageFile === undefined) throw new Error('apt-get download left no package')
  const tree = join(workDir, 'tree')
  await runCommand('dpkg-deb', ['-x', join(workDir, packageFile), tree], { env, timeoutMs: 120_000 })
  return join(tree, 'usr', 'sbin', BROKER_PROGRAM)
}
