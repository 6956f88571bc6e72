import { type ServiceProcess, serving, spawnService } from './service-process.ts'

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

/** Starts a gateway and waits until it takes requests. */
export function startGateway(options: GatewayProcessOptions): Promise<GatewayProcess> {
  return serving(spawnGateway(options))
}
