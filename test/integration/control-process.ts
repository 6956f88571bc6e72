import { type ServiceProcess, serving, spawnService } from '../kit/service-process.ts'

export type { Answer, CallOptions } from '../kit/service-process.ts'

export const TOKEN = 'token-of-the-integration-tests'

/** A real control service, as an operator would run it. */
export type ControlProcess = ServiceProcess

export interface ControlProcessOptions {
  readonly url: string
  readonly dataDir: string
  readonly env?: NodeJS.ProcessEnv
}

/** Starts a control service without waiting for anything. */
export function spawnControl({ url, dataDir, env }: ControlProcessOptions) {
  return spawnService('services/control/main', {
    PELTON_NATS_URL: url,
    PELTON_DATA: dataDir,
    PELTON_CONTROL_PORT: '0',
    PELTON_CONTROL_TOKEN: TOKEN,
    PELTON_WATCH_MS: '200',
    ...env,
  })
}

/** Starts a control service and waits until its API answers. */
export function startControl(options: ControlProcessOptions): Promise<ControlProcess> {
  return serving(spawnControl(options), { authorization: `Bearer ${TOKEN}` })
}
