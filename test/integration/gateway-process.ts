import { type ServiceProcess, serving, spawnService } from './service-process.ts'

export type { Answer, CallOptions } from './service-process.ts'

/** A real gateway, as an operator would run it. */
export type GatewayProcess = ServiceProcess

export interface GatewayProcessOptions {
  readonly url: string
  readonly env?: NodeJS.ProcessEnv
}

/** Starts a gateway on a free port of loopback, without waiting for anything. It has no port for health and metrics. */
export function spawnGateway({ url, env }: GatewayProcessOptions) {
  return spawnService('services/gateway/main', {
    PELTON_NATS_URL: url,
    PELTON_GATEWAY_PORT: '0',
    ...env,
  })
}

/** Starts a gateway and waits until it takes requests. */
export function startGateway(options: GatewayProcessOptions): Promise<GatewayProcess> {
  return serving(spawnGateway(options))
}
