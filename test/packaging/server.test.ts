import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { missingRegistry, packPackage, strangerEnv } from '../kit/packages.ts'
import { freePorts } from '../kit/ports.ts'
import { eventually } from '../kit/wait.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Ten lines of somebody else's service. */
const CLIENT = `
import { createProducer } from 'pelton'

const producer = await createProducer({ url: process.env.PELTON_NATS_URL, source: 'gate/7' })
const features = { origin: 'DTW', destination: 'LAX', hour: 8, weekday: 5, distance: 1979, origin_delay: 12 }
const recent = { inbound_delay: 4, destination_delay: 9, route_delay: 7.5, origin_departures: 31 }
const event = { model: 'lateness', id: 'NW329', features: { ...features, ...recent } }
const answer = await producer.request(event)
console.log(answer.kind, answer.id, answer.value('probability'))
await producer.close()
`

/** Makes every name unknown, as on a machine that reaches its registry only. */
const NO_NAMES = `data:text/javascript,${encodeURIComponent(
  `import dns from 'node:dns'; dns.lookup = (name, options, done) => done(Object.assign(new Error(name), { code: 'ENOTFOUND' }))`,
)}`

const base = await mkdtemp(join(tmpdir(), 'pelton-server-'))
const env = await strangerEnv(join(base, 'home'))
const noRegistry = await missingRegistry(env)
if (noRegistry !== undefined) process.stderr.write(`the packed server is not installed: ${noRegistry}\n`)
const tarballs = { pelton: '', server: '' }
const children: ChildProcess[] = []

beforeAll(async () => {
  tarballs.pelton = await packPackage('pelton', join(base, 'packed'))
  tarballs.server = await packPackage('pelton-server', join(base, 'packed'))
})

afterEach(async () => {
  for (const child of children.splice(0)) if (child.pid !== undefined) kill(-child.pid, 'SIGKILL')
  for (const { pid } of await running()) kill(pid, 'SIGKILL')
})

afterAll(() => rm(base, { recursive: true, force: true }))

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // it has ended
  }
}

/** Processes that run from, or with, the folders of this test. */
async function running(): Promise<readonly { readonly pid: number; readonly line: string }[]> {
  const { stdout } = await run('ps', ['-A', '-ww', '-o', 'pid=,args='])
  return stdout
    .split('\n')
    .filter((line) => line.includes(`${base}/`))
    .map((line) => ({ pid: Number.parseInt(line, 10), line: line.trim().slice(0, 120) }))
}

describe('the packages', () => {
  test.each(['pelton', 'server'] as const)('%s satisfies publint', async (name) => {
    const bytes = new Uint8Array(await readFile(tarballs[name]))
    const { messages, pkg } = await publint({ pack: { tarball: bytes.buffer }, strict: true })
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([])
  })

  test('give their types to every way of resolving that knows ESM', async () => {
    const analysis = async (name: 'pelton' | 'server') =>
      checkPackage(createPackageFromTarballData(new Uint8Array(await readFile(tarballs[name]))))
    const sdk = await analysis('pelton')
    if (sdk.types === false) throw new Error('the SDK has no types')
    expect(Object.keys(sdk.entrypoints)).toEqual(['.', './testing', './outbox', './package.json'])
    // The profile "esm-only": who requires an ES module, or knows no exports, is not served.
    const isServed = (kind?: string) => kind !== 'node10' && kind !== 'node16-cjs'
    const problems = sdk.problems.filter((problem) =>
      isServed('resolutionKind' in problem ? problem.resolutionKind : undefined),
    )
    expect(problems).toEqual([])
    expect((await analysis('server')).types, 'a program, without a type').toBe(false)
  })

  test('have the version of the repository and no test in them', async () => {
    const { version, private: isPrivate } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    expect(isPrivate, 'npm publishes nothing from the root').toBe(true)
    for (const name of ['pelton', 'pelton-server']) {
      const folder = join(base, 'packed', name)
      expect(JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')).version).toBe(version)
      const files = await readdir(folder, { recursive: true })
      expect(files.filter((file) => /\.test\.|testdata|(?<!\.d)\.ts$/.test(file))).toEqual([])
    }
  })

  test.each(['shared/sdk', 'infra/npm/pelton-server'])(
    'cannot be packed or published from %s',
    async (folder) => {
      const cwd = join(ROOT, folder)
      const nowhere = ['--registry=http://127.0.0.1:9/', '--//127.0.0.1:9/:_authToken=none']
      await expect(run('npm', ['pack', `--pack-destination=${base}`], { cwd, env })).rejects.toThrow(
        /name and version/,
      )
      await expect(run('npm', ['publish', ...nowhere], { cwd, env })).rejects.toThrow(/npm error/)
      expect((await readdir(base)).filter((file) => file.endsWith('.tgz'))).toEqual([])
    },
  )
})

describe('before it is installed', () => {
  const script = join(ROOT, 'infra/npm/pelton-server/before-install.mjs')
  const line =
    /^pelton-server: set ONNXRUNTIME_NODE_INSTALL=skip and install again: .* cannot be reached \(ENOTFOUND\)\n$/
  const ask = async (more: NodeJS.ProcessEnv): Promise<string> => {
    const args = ['--import', NO_NAMES, script]
    return run(process.execPath, args, { env: { ...env, ...more } }).then(
      ({ stdout, stderr }) => stdout + stderr,
      ({ code, stderr }: { code: number; stderr: string }) => `exit ${code}: ${stderr}`,
    )
  }

  describe.runIf(process.platform === 'linux' && process.arch === 'x64')('where CUDA is downloaded', () => {
    test('says in one line what to set where it cannot be', async () => {
      const [code, said] = (await ask({})).split(/(?<=^exit 1): /)
      expect(code).toBe('exit 1')
      expect(said).toMatch(line)
    })

    test('says it past npx, which keeps what a step says to itself', async () => {
      const step = JSON.stringify(`"${process.execPath}" "${script}"; exit $?`)
      const keeping = `require('node:child_process').spawnSync('sh', ['-c', ${step}])`
      const hear = async (npmCommand: string): Promise<string> => {
        const file = await open(join(base, npmCommand), 'w+')
        const more = { npm_command: npmCommand, NODE_OPTIONS: `--import=${NO_NAMES}` }
        const stdio = ['ignore', 'ignore', file.fd] as const // a file or a terminal; a socket cannot be opened again
        const child = spawn(process.execPath, ['-e', keeping], {
          env: { ...env, ...more },
          stdio: [...stdio],
        })
        await new Promise((resolve) => child.once('close', resolve))
        await file.close()
        return readFile(join(base, npmCommand), 'utf8')
      }
      expect(await hear('exec')).toMatch(line)
      expect(await hear('install')).toBe('')
    })
  })

  test('asks nobody where that is set', async () => {
    expect(await ask({ ONNXRUNTIME_NODE_INSTALL: 'skip' })).toBe('')
    expect(await ask({ npm_config_onnxruntime_node_install: 'skip' })).toBe('')
  })
})

describe.skipIf(noRegistry !== undefined && !process.env.CI)('installed in an empty folder', () => {
  const project = join(base, 'project')

  beforeAll(async () => {
    await cp(join(DEMO_MODELS, 'flight-delay'), join(project, 'models/lateness'), { recursive: true })
    const args = ['install', tarballs.server, tarballs.pelton, '--prefer-offline', '--no-audit', '--no-fund']
    await run('npm', args, { cwd: project, env: { ...env, ONNXRUNTIME_NODE_INSTALL: 'skip' } })
    await writeFile(join(project, 'client.mjs'), CLIENT)
  })

  const npx = (args: readonly string[], more: NodeJS.ProcessEnv = {}) =>
    run('npx', ['pelton-server', ...args], { cwd: project, env: { ...env, ...more } })

  /** Starts `npx pelton-server …` and waits for what it prints once it is ready. @returns npx, and all it has said */
  async function startUp(...args: string[]) {
    const [port, controlPort] = await freePorts(2)
    const child = spawn('npx', ['pelton-server', 'up', '--port', String(port), '--data', 'data', ...args], {
      cwd: project,
      env: { ...env, PELTON_CONTROL_PORT: String(controlPort) },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a signal to it reaches nobody else by itself
    })
    children.push(child)
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data: Buffer) => {
        said += data.toString()
      })
    const exited = new Promise((resolve) => child.once('exit', resolve))
    const up = () => said.includes('PELTON_NATS_URL=') && said.includes('control: http')
    await eventually('the worker to take events', up, { seen: () => said })
    return { child, exited, url: `nats://127.0.0.1:${port}`, said: () => said }
  }

  test('`npx pelton-server up --models ./models` answers ten lines of SDK, and one SIGTERM ends all', async () => {
    const { child, exited, url } = await startUp('--models', './models')
    const told = await run(process.execPath, ['client.mjs'], {
      cwd: project,
      env: { ...env, PELTON_NATS_URL: url },
    })
    expect(told.stdout).toMatch(/^prediction NW329 0\.\d+\n$/)
    const doctor = await npx(['doctor', '--models', './models'], { PELTON_NATS_URL: url })
    expect(doctor.stdout).toMatch(/ 0 to mend\n$/)
    child.kill('SIGTERM')
    await exited
    await eventually('every process to end', async () => (await running()).length === 0, { seen: running })
  })

  test('without a folder of models it serves those of the demo, and says how to ask them', async () => {
    const { child, exited, said } = await startUp()
    expect(said()).toMatch(/^models: those of the demo/m)
    const line = /^ +(echo .*) \| npx pelton-server publish flight-delay$/m.exec(said())
    expect(line).not.toBeNull()
    child.kill('SIGTERM')
    await exited
    await eventually('every process to end', async () => (await running()).length === 0, { seen: running })
  })

  test('`demo` finds its flights and model, and its counts close', async () => {
    // What the command says of a failure stands on standard output.
    const { stdout } = await npx(['demo', '--flights', '400']).catch((thrown: { stdout: string }) => thrown)
    expect(stdout).toMatch(/400 in = 396 predictions \+ 4 dead letters\n/)
    expect(stdout).toMatch(/Every event is accounted for: 400 events/)
  })

  test('help, version and the check of models need no clone', async () => {
    expect((await npx(['--help'])).stdout).toMatch(/^Usage: pelton /)
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
    expect((await npx(['--version'])).stdout.trim()).toBe(version)
    expect((await npx(['models', 'check', 'models'])).stdout).toMatch(/lateness/)
  })

  test('`npx pelton` runs it too, and finds nothing to run where only the SDK is installed', async () => {
    expect((await run('npx', ['pelton', '--version'], { cwd: project, env })).stdout).toMatch(
      /^\d+\.\d+\.\d+\n/,
    )
    const cwd = join(base, 'sdk-only')
    await cp(join(base, 'packed/pelton'), join(cwd, 'node_modules/pelton'), { recursive: true })
    await writeFile(join(cwd, 'package.json'), JSON.stringify({ dependencies: { pelton: '*' } }))
    await expect(run('npx', ['--no', 'pelton'], { cwd, env })).rejects.toThrow(
      /could not determine executable/,
    )
  })
})
