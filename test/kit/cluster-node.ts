import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnGuard } from '../../shared/sdk/broker/guard.ts'
import { removePortsFiles, waitUntilReady } from '../../shared/sdk/broker/readiness.ts'

/** Where one server of a cluster listens, and finds the others. */
export interface NodePlace {
  readonly host: string
  readonly clientPort: number
  readonly routePort: number
  readonly monitorPort: number
  /** `<host>:<port>` of what leads to the other nodes. */
  readonly routes: readonly string[]
  /** Network namespace it runs in. Default: that of this process. */
  readonly namespace?: string
}

/** What one server of a cluster is made of. */
export interface NodeSetup extends NodePlace {
  readonly name: string
  /** Path of nats-server. */
  readonly binary: string
  readonly syncInterval: string
  /** Added to the configuration. */
  readonly config: string
  /** Added to its `jetstream` block. */
  readonly jetstream: string
}

/** One nats-server process of a cluster. */
export interface NodeProcess {
  readonly name: string
  /** Holds `node.conf`, `node.log` and the store. */
  readonly dataDir: string
  /** Process id of the present, or last, server. */
  readonly pid: number
  readonly isRunning: boolean
  /** Starts it on its ports and its store; resolves when it greets with JetStream on. */
  start(): Promise<void>
  /** Ends it as an operator would, with SIGTERM. */
  stop(): Promise<void>
  /** Ends it with SIGKILL, as a crash would. */
  kill(): Promise<void>
  /** Stops it where it is (SIGSTOP): its connections stay open and nothing answers. */
  pause(): void
  /** Lets it go on after {@link NodeProcess.pause}. */
  resume(): void
  /** `http://<host>:<port>` of its monitoring. */
  readonly monitorUrl: string
  /** What its monitoring page says, parsed; undefined while it does not answer. */
  monitor(path: string): Promise<Readonly<Record<string, unknown>> | undefined>
  /** Ends it and removes its folder. May be called again. */
  remove(): Promise<void>
}

interface Run {
  readonly guard: ChildProcess
  readonly exited: Promise<void>
  pid: number
}

/** Prepares a node; it runs after its first `start`. It ends with this process, however that ends. */
export async function createNode(setup: NodeSetup): Promise<NodeProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), `pelton-cluster-${setup.name}-`))
  await writeFile(join(dataDir, 'node.conf'), configText(setup, dataDir))
  const monitorUrl = `http://${setup.host}:${setup.monitorPort}`
  let run: Run | undefined
  let lastPid = 0

  const signal = (name: NodeJS.Signals): void => {
    try {
      if (run !== undefined && run.pid > 0) process.kill(run.pid, name)
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown // it has just ended
    }
  }
  const end = async (name: NodeJS.Signals): Promise<void> => {
    const ending = run
    if (ending === undefined) return
    ending.guard.ref()
    signal(name)
    if (name !== 'SIGKILL') signal('SIGCONT') // a stopped process hears no other signal
    await ending.exited
  }
  return {
    name: setup.name,
    dataDir,
    get pid() {
      return lastPid
    },
    get isRunning() {
      return run !== undefined
    },
    start: async () => {
      if (run !== undefined) return
      const started = await spawnNode(setup, dataDir, () => {
        if (run === started) run = undefined
      })
      run = started
      lastPid = started.pid
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => signal('SIGSTOP'),
    resume: () => signal('SIGCONT'),
    monitorUrl,
    monitor: (path) => fetchPage(`${monitorUrl}/${path}`),
    remove: async () => {
      await end('SIGKILL')
      // What it was about to write when it was killed may yet appear.
      await rm(dataDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    },
  }
}

async function spawnNode(setup: NodeSetup, dataDir: string, onExit: () => void): Promise<Run> {
  await removePortsFiles(dataDir)
  const logFd = openSync(join(dataDir, 'node.log'), 'a')
  const configPath = join(dataDir, 'node.conf')
  const guard = spawnGuard({
    server: await programOf(setup, dataDir),
    configPath,
    logFd,
    temporaryDir: dataDir,
  })
  closeSync(logFd)
  const exited = new Promise<void>((resolve) => {
    guard.once('error', () => resolve())
    guard.once('exit', () => resolve())
  })
  try {
    const { pid } = await waitUntilReady(dataDir, exited)
    void exited.then(onExit)
    return { guard, exited, pid }
  } catch (cause) {
    const log = await readFile(join(dataDir, 'node.log'), 'utf8').catch(() => '')
    guard.ref()
    guard.stdin?.end()
    await exited
    throw new Error(`node ${setup.name} did not start:\n${log.split('\n').slice(-8).join('\n')}`, { cause })
  }
}

/** The server itself, or what becomes it in another namespace: the same process. */
async function programOf({ binary, namespace }: NodeSetup, dataDir: string): Promise<string> {
  if (namespace === undefined) return binary
  const path = join(dataDir, 'server.sh')
  await writeFile(path, `#!/bin/sh\nexec ip netns exec ${namespace} '${binary}' "$@"\n`, { mode: 0o755 })
  return path
}

/**
 * Nobody tells clients or nodes of an address that is not ours: every connection goes through its wire. The address
 * advertised between nodes is one where nobody answers, or they would dial each other past the wires.
 */
function configText(setup: NodeSetup, dataDir: string): string {
  const routes = setup.routes.map((address) => `"nats://${address}"`).join(', ')
  return [
    `server_name: ${setup.name}`,
    `listen: "${setup.host}:${setup.clientPort}"`,
    `http: "${setup.host}:${setup.monitorPort}"`,
    `ports_file_dir: ${JSON.stringify(dataDir)}`,
    // Quoted: a bare 2m is read as a number.
    `jetstream { store_dir: ${JSON.stringify(dataDir)}, sync_interval: "${setup.syncInterval}", ${setup.jetstream} }`,
    'cluster {',
    '  name: pelton',
    `  listen: "${setup.host}:${setup.routePort}"`,
    '  advertise: "127.0.0.1:1"',
    '  no_advertise: true',
    // as in infra/nats/cluster.conf
    '  ping_interval: "1s"',
    '  ping_max: 3',
    `  routes: [${routes}]`,
    '}',
    setup.config,
    '',
  ].join('\n')
}

async function fetchPage(url: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) })
    return (await response.json()) as Record<string, unknown>
  } catch {
    return undefined
  }
}
