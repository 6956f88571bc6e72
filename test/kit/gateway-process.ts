import { type ServiceProcess, serving, spawnService } from './service-process.ts'
import { eventually } from './wait.ts'

export type { Answer, CallOptions } from './service-process.ts'

/** A real gateway, as an operator would run it. */
export type GatewayProcess = ServiceProcess

export interface GatewayProcessOptions {
  /** Of the broker. */
  readonly url: string
  readonly env?: NodeJS.ProcessEnv
}

/** What of this process's environment says how tests run: the connections of tests go by it, too. */
const OF_THE_RUN = ['PELTON_PREFIX', 'PELTON_DATA_PATH'] as const

/** Starts a gateway on a free port of loopback, without waiting for anything. It has no port for health and metrics. */
export function spawnGateway({ url, env }: GatewayProcessOptions) {
  const run = Object.fromEntries(OF_THE_RUN.flatMap((name) => [[name, process.env[name] ?? '']]))
  return spawnService('services/gateway/main', {
    ...run,
    PELTON_NATS_URL: url,
    PELTON_GATEWAY_PORT: '0',
    ...env,
  })
}

/**
 * Starts a gateway and waits until it takes requests: it serves before it has read the models and the keys there are, and
 * answers 503 until then. One that can never be ready is spawned.
 */
export async function startGateway(options: GatewayProcessOptions): Promise<GatewayProcess> {
  const gateway = await serving(spawnGateway(options))
  await gatewayIsReady(gateway.address).catch(async (thrown: unknown) => {
    await gateway.end('SIGKILL')
    throw thrown
  })
  return gateway
}

/** Waits until the gateway at an address is ready. */
export async function gatewayIsReady(address: string): Promise<void> {
  const ask = (): Promise<Response> => fetch(`${address}/v2/health/ready`)
  const isReady = async (): Promise<boolean> => (await ask()).ok
  await eventually('the gateway to be ready', isReady, { seen: async () => (await ask()).text() })
}
