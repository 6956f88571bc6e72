import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { finished } from 'node:stream/promises'
import { programArgs } from './program.ts'
import { eventually } from './wait.ts'

/** A real gateway, as an operator would run it. */
export interface GatewayProcess {
  readonly pid: number
  /** `http://127.0.0.1:<port>` */
  readonly address: string
  /** Its log so far, one parsed line each. */
  readonly log: readonly Readonly<Record<string, unknown>>[]
  /** Exit code, or the signal that ended it, once its log is read to the end. */
  readonly ended: Promise<number | NodeJS.Signals>
  kill(signal?: NodeJS.Signals): void
  /** Ends it, and waits until it is gone. */
  end(signal?: NodeJS.Signals): Promise<void>
}

export interface GatewayProcessOptions {
  /** Of the broker. */
  readonly url: string
  readonly env?: NodeJS.ProcessEnv
}

/** Starts a gateway on any free port and waits until it takes requests. */
export async function startGateway(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const gateway = spawnGateway(options)
  const { log, ended } = gateway
  let end: unknown
  void ended.then((how) => {
    end = how
  })
  await eventually('the gateway to serve', () => end !== undefined || addressOf(log) !== undefined, {
    limitMs: 300_000,
    everyMs: 10,
    seen: () => log,
  })
  const address = addressOf(log)
  if (address !== undefined) return { ...gateway, address }
  throw new Error(`the gateway ended (${String(end)}) before it served:\n${JSON.stringify(log, null, 1)}`)
}

function addressOf(log: GatewayProcess['log']): string | undefined {
  return log.find(({ msg }) => msg === 'serving')?.address as string | undefined
}

/** Starts a gateway without waiting for anything. */
export function spawnGateway({ url, env }: GatewayProcessOptions): Omit<GatewayProcess, 'address'> {
  const own = Object.entries(process.env).filter(([name]) => !/^PELTON_(?:GATEWAY|HTTP|NATS_URL)/.test(name))
  const child = spawn(process.execPath, programArgs('services/gateway/main'), {
    env: { ...Object.fromEntries(own), PELTON_NATS_URL: url, PELTON_GATEWAY_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log: Record<string, unknown>[] = []
  const streams = [child.stdout, child.stderr]
  for (const stream of streams)
    createInterface({ input: stream }).on('line', (line) => log.push(parseLine(line)))
  const read = Promise.all(streams.map((stream) => finished(stream)))
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? code ?? 0))
  })
  const ended = exited.then(async (how) => {
    await read
    return how
  })
  const kill = (signal: NodeJS.Signals = 'SIGTERM'): void => void child.kill(signal)
  const end = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    kill(signal)
    await ended
  }
  return { pid: child.pid ?? 0, log, ended, kill, end }
}

function parseLine(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return { text: line }
  }
}
