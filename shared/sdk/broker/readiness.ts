import { readdir, readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** A nats-server as its ports file describes it. */
export interface RunningServer {
  readonly pid: number
  /** Where it listens. */
  readonly host: string
  readonly port: number
  /** `http://127.0.0.1:<port>` of its monitoring; undefined where that is off. */
  readonly monitorUrl?: string
}

const POLL_MS = 15
/** A store of many gigabytes is read before the server listens. */
const START_TIMEOUT_MS = 120_000
const PORTS_FILE = /_(\d+)\.ports$/

/**
 * Waits until the server whose ports file appears in `dir` greets with JetStream on.
 * Throws an Error when it exits first or takes longer than two minutes.
 */
export async function waitUntilReady(dir: string, exited: Promise<unknown>): Promise<RunningServer> {
  let hasExited = false
  void exited.then(() => {
    hasExited = true
  })
  const deadline = performance.now() + START_TIMEOUT_MS
  while (performance.now() < deadline) {
    if (hasExited) throw new Error('it ended at once')
    const server = await readRunningServer(dir)
    if (server !== undefined) return server
    await delay(POLL_MS)
  }
  throw new Error(`it was not ready after ${START_TIMEOUT_MS / 1000} s`)
}

/** The server that serves `dir` now: it left a ports file there, lives, and greets with JetStream on. */
export async function readRunningServer(dir: string): Promise<RunningServer | undefined> {
  for (const name of await readdir(dir)) {
    const pid = Number(PORTS_FILE.exec(name)?.[1] ?? Number.NaN)
    if (!isAlive(pid)) continue
    const ports = portsIn(await readFile(join(dir, name), 'utf8').catch(() => ''))
    if (ports !== undefined && (await greetsWithJetStream(ports))) return { pid, ...ports }
  }
  return undefined
}

/** Removes what a killed server left, so that the next ports file seen is the next server's. */
export async function removePortsFiles(dir: string): Promise<void> {
  const stale = (await readdir(dir)).filter((name) => PORTS_FILE.test(name))
  await Promise.all(stale.map((name) => rm(join(dir, name), { force: true })))
}

function isAlive(pid: number): boolean {
  if (Number.isNaN(pid)) return false
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** `{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://127.0.0.1:8222"]}`; undefined while it is being written. */
function portsIn(portsFile: string): Omit<RunningServer, 'pid'> | undefined {
  try {
    const { nats = [], monitoring = [] }: { nats?: string[]; monitoring?: string[] } = JSON.parse(portsFile)
    const [, host, port] = /\/\/(.+):(\d+)$/.exec(nats[0] ?? '') ?? []
    if (host === undefined || port === undefined) return undefined
    return { host, port: Number(port), ...(monitoring[0] !== undefined && { monitorUrl: monitoring[0] }) }
  } catch {
    return undefined
  }
}

/** Whether a NATS server on this port sends `INFO {…,"jetstream":true,…}`, its first line. */
function greetsWithJetStream(at: Pick<RunningServer, 'host' | 'port'>): Promise<boolean> {
  return new Promise((resolve) => {
    let text = ''
    const socket = connect(at)
    socket.setEncoding('utf8').setTimeout(5_000, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      text += String(chunk)
      if (text.includes('\r\n')) socket.destroy()
    })
    socket.on('close', () => resolve(hasJetStream(text)))
  })
}

function hasJetStream(greeting: string): boolean {
  const json = /^INFO (\{.*\})/.exec(greeting)?.[1]
  if (json === undefined) return false
  try {
    const info: unknown = JSON.parse(json)
    return typeof info === 'object' && info !== null && 'jetstream' in info && info.jetstream === true
  } catch {
    return false
  }
}
