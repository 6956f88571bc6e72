import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PeltonError } from '../errors.ts'
import { type BrokerBinary, textOf } from './find.ts'
import { spawnGuard } from './guard.ts'
import { ensureBroker } from './obtain.ts'
import { type RunningServer, readRunningServer, removePortsFiles, waitUntilReady } from './readiness.ts'

/**
 * What an acknowledged event survives. `process`: the end of any process, the server's too; a loss of power may cost
 * what was stored within the last two minutes. `power`: each write is synced to disk before it is acknowledged.
 */
export type Durability = 'process' | 'power'

export interface StartBrokerOptions {
  /** Default: what {@link ensureBroker} finds or obtains. */
  readonly binary?: BrokerBinary
  /** Folder of streams, configuration and log, kept afterwards. Default: a fresh one, removed at the end. */
  readonly dataDir?: string
  /** Port on 127.0.0.1. Default: a free one. */
  readonly port?: number
  /** Added to the server's configuration: `max_payload: 4MB`. Holds no `jetstream` block. Default: none. */
  readonly config?: string
  /** What survives. @default 'process' */
  readonly durability?: Durability
  /** See {@link ensureBroker}. */
  readonly note?: (text: string) => void
}

/** How a run of the server ended. */
export interface BrokerExit {
  /** Exit code of the server, 128 + n when signal n ended it. */
  readonly code: number
  /** Whether `stop`, `restart` or `kill` asked for it. */
  readonly expected: boolean
}

/** A nats-server with JetStream on the loopback interface, a child of this process. */
export interface EmbeddedBroker {
  /** `nats://127.0.0.1:<port>`; the same after a restart. */
  readonly url: string
  readonly port: number
  /** Holds `broker.conf`, `broker.log` and the stored streams. */
  readonly dataDir: string
  /** The server's monitoring over HTTP: `<monitorUrl>/healthz`. Another one after a restart. */
  readonly monitorUrl: string
  /** Process id of the present, or last, nats-server. */
  readonly pid: number
  /** Settles when the present run of the server ends, for whatever reason; a restart begins a new run. */
  readonly exited: Promise<BrokerExit>
  /** Stops the server if it runs, starts it with the same port and data. Throws like {@link startBroker}. */
  restart(): Promise<void>
  /** Ends the server with SIGKILL, as a crash would. Data stays; `restart` brings it back. */
  kill(): Promise<void>
  /** Ends the server and removes a temporary data folder. May be called again. */
  stop(): Promise<void>
}

interface Run {
  readonly guard: ChildProcess
  readonly server: RunningServer
  readonly exited: Promise<BrokerExit>
  readonly asked: { end: boolean }
}

interface Setup {
  readonly binary: BrokerBinary
  readonly dataDir: string
  readonly temporary: boolean
  readonly config: string
  readonly durability: Durability
}

/**
 * Starts a nats-server and resolves when it accepts connections with JetStream on. It ends with this process,
 * however that ends, and does not keep this process alive. Nobody but this machine can connect, nor see its
 * monitoring.
 *
 * Throws `broker-unavailable` with the last lines of the server's log when it does not start,
 * `invalid-argument` when another broker serves `dataDir`, and what {@link ensureBroker} throws.
 */
export async function startBroker(options: StartBrokerOptions = {}): Promise<EmbeddedBroker> {
  const { port = -1, config = '', durability = 'process', note } = options
  const binary = options.binary ?? (await ensureBroker(note === undefined ? {} : { note }))
  const temporary = options.dataDir === undefined
  const dataDir = await openDataDir(options.dataDir)
  const setup = { binary, dataDir, temporary, config, durability }
  try {
    await refuseSecondServer(dataDir)
    return embeddedBroker(setup, await run(setup, port))
  } catch (error) {
    if (temporary) await rm(dataDir, { recursive: true, force: true })
    throw error
  }
}

function embeddedBroker(setup: Setup, first: Run): EmbeddedBroker {
  const { port } = first.server
  let current = first
  let isStopped = false
  let turn: Promise<void> = Promise.resolve()

  /** One change at a time, in the order asked for, whatever became of the one before. */
  function inTurn(change: () => Promise<void>): Promise<void> {
    turn = turn.then(change, change)
    return turn
  }

  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    dataDir: setup.dataDir,
    get pid() {
      return current.server.pid
    },
    get monitorUrl() {
      return current.server.monitorUrl ?? ''
    },
    get exited() {
      return current.exited
    },
    restart: () =>
      inTurn(async () => {
        if (isStopped) throw new PeltonError('closed', 'the embedded broker has been stopped')
        await end(current, () => signal(current.server.pid, 'SIGTERM'))
        current = await run(setup, port)
      }),
    kill: () => inTurn(() => end(current, () => signal(current.server.pid, 'SIGKILL'))),
    stop: () =>
      inTurn(async () => {
        isStopped = true
        await end(current, () => current.guard.stdin?.end())
        if (setup.temporary) await rm(setup.dataDir, { recursive: true, force: true, maxRetries: 10 })
      }),
  }
}

async function run(setup: Setup, port: number): Promise<Run> {
  const { dataDir } = setup
  const configPath = join(dataDir, 'broker.conf')
  await writeFile(configPath, configText(setup, port))
  await removePortsFiles(dataDir)
  const logFd = openSync(join(dataDir, 'broker.log'), 'w')
  const temporaryDir = setup.temporary ? { temporaryDir: dataDir } : {}
  const guard = spawnGuard({ server: setup.binary.path, configPath, logFd, ...temporaryDir })
  closeSync(logFd)
  const asked = { end: false }
  const exited = exitOf(guard, asked)
  try {
    return { guard, asked, exited, server: await waitUntilReady(dataDir, exited) }
  } catch (cause) {
    const log = await lastLogLines(dataDir)
    guard.ref()
    guard.stdin?.end()
    await exited
    const remedy = log === '' ? 'It wrote no log' : `The end of its log:\n${log}`
    const details = { field: 'binary', value: setup.binary.path, remedy }
    throw new PeltonError('broker-unavailable', `nats-server did not start: ${textOf(cause)}`, details, cause)
  }
}

/** nats-server reads JSON strings as they are, which settles the quoting of paths. */
function configText({ dataDir, config, durability }: Setup, port: number): string {
  // Quoted, like every duration: the server takes an unquoted `2m` for a number and never syncs.
  const sync = `sync_interval: ${durability === 'power' ? '"always"' : '"2m"'}`
  return [
    `listen: "127.0.0.1:${port}"`,
    'http: "127.0.0.1:-1"',
    `ports_file_dir: ${JSON.stringify(dataDir)}`,
    `jetstream { store_dir: ${JSON.stringify(dataDir)}, ${sync} }`,
    config,
    '',
  ].join('\n')
}

function exitOf(guard: ChildProcess, asked: { readonly end: boolean }): Promise<BrokerExit> {
  return new Promise((resolveExit) => {
    // a guard that could not be spawned reports the error instead of an exit
    guard.once('error', () => resolveExit({ code: 127, expected: asked.end }))
    guard.once('exit', (code) => resolveExit({ code: code ?? 137, expected: asked.end }))
  })
}

/** Ends a run by `how` and waits for it, keeping this process alive meanwhile. */
async function end({ guard, asked, exited, server }: Run, how: () => void): Promise<void> {
  if (guard.exitCode === null && guard.signalCode === null) {
    asked.end = true
    guard.ref()
    how()
  }
  await exited
  // a guard that was killed itself leaves the server running a moment longer
  if (guard.signalCode !== null) signal(server.pid, 'SIGKILL')
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // it has ended already
  }
}

async function openDataDir(given: string | undefined): Promise<string> {
  if (given === undefined) return mkdtemp(join(tmpdir(), 'pelton-broker-'))
  const dataDir = resolve(given)
  await mkdir(dataDir, { recursive: true }).catch((cause: unknown) => {
    const details = { field: 'dataDir', value: dataDir, remedy: 'Name a folder that can be written' }
    throw new PeltonError('invalid-argument', 'the data folder cannot be made', details, cause)
  })
  return dataDir
}

/** Two servers on one store would spoil it, and nats-server itself does not notice. */
async function refuseSecondServer(dataDir: string): Promise<void> {
  const other = await readRunningServer(dataDir)
  if (other === undefined) return
  const remedy = `Stop it, use it at nats://127.0.0.1:${other.port}, or name another folder`
  const details = { field: 'dataDir', value: dataDir, remedy }
  throw new PeltonError('invalid-argument', `broker ${other.pid} already serves this data folder`, details)
}

async function lastLogLines(dataDir: string): Promise<string> {
  const log = await readFile(join(dataDir, 'broker.log'), 'utf8').catch(() => '')
  return log.trimEnd().split('\n').slice(-8).join('\n')
}
