import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'

/**
 * Runs once before the projects that need a broker: finds a nats-server or obtains one, so that no test pays for the
 * download. Says what it does on standard error.
 */
export async function setup(): Promise<void> {
  await ensureBroker({ note: (text) => process.stderr.write(`${text}\n`) })
}
