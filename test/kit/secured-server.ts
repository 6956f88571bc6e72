import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnGuard } from '../../shared/sdk/broker/guard.ts'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'
import { freePorts } from './ports.ts'
import { eventually } from './wait.ts'

/** A real nats-server that is set up as a test says, also so that it greets nobody without TLS. */
export interface SecuredServer {
  readonly port: number
  log(): Promise<string>
  /** Ends it, and starts it again at the same port with the same data. @param config instead of what it had */
  restart(config?: string): Promise<void>
  /** Ends it and leaves its port without anybody. */
  pause(): Promise<void>
  /** Ends it and removes its data. May be called again. */
  stop(): Promise<void>
}

export interface SecuredServerOptions {
  /** Part of its configuration: accounts, TLS, an operator. */
  readonly config: string
  /** JetStream domain. @default none */
  readonly domain?: string
  /** @default true */
  readonly hasJetStream?: boolean
}

/** Starts it on the loopback interface and waits until it is well. Whoever starts it stops it. */
export async function startSecuredServer(options: SecuredServerOptions): Promise<SecuredServer> {
  const { domain, hasJetStream = true } = options
  const { path: server } = await ensureBroker()
  const dir = await mkdtemp(join(tmpdir(), 'pelton-secured-'))
  const [port = 0, httpPort = 0] = await freePorts(2)
  const configPath = join(dir, 'server.conf')
  const logPath = join(dir, 'server.log')
  const jetStream = `jetstream { store_dir: ${JSON.stringify(dir)}${domain === undefined ? '' : `, domain: ${domain}`} }`
  const base = [
    `listen: "127.0.0.1:${port}"`,
    `http: "127.0.0.1:${httpPort}"`,
    ...(hasJetStream ? [jetStream] : []),
  ]
  const log = (): Promise<string> => readFile(logPath, 'utf8')
  let running: { end(): Promise<void> } | undefined

  async function start(config: string): Promise<void> {
    await writeFile(configPath, [...base, config, ''].join('\n'))
    const logFd = openSync(logPath, 'a')
    const guard = spawnGuard({ server, configPath, logFd })
    closeSync(logFd)
    const exited = new Promise<void>((resolve) => guard.once('exit', () => resolve()))
    running = {
      async end() {
        guard.ref()
        guard.stdin?.end()
        await exited
      },
    }
    await eventually('a server that is well', () => isWell(httpPort), { seen: log })
  }
  async function end(): Promise<void> {
    await running?.end()
    running = undefined
  }

  let { config } = options
  const stop = async (): Promise<void> => {
    await end()
    await rm(dir, { recursive: true, force: true, maxRetries: 10 })
  }
  try {
    await start(config)
  } catch (thrown) {
    await stop()
    throw thrown
  }
  return {
    port,
    log,
    async restart(given = config) {
      await end()
      config = given
      await start(config)
    },
    pause: end,
    stop,
  }
}

async function isWell(httpPort: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${httpPort}/healthz?js-server-only=true`)).ok
  } catch {
    return false
  }
}
