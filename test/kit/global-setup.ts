import type { TestProject } from 'vitest/node'
import { ensureBroker } from '../../shared/sdk/broker/obtain.ts'

/**
 * Runs once before the projects that need a broker: finds a nats-server or obtains one, so that no test pays for the
 * download. Says what it does on standard error. Passes `--mode full` on, which reaches the root of the projects only.
 */
export async function setup(project: TestProject): Promise<void> {
  if (project.vitest.vite.config.mode === 'full') process.env.PELTON_TEST_FORM = 'full'
  await ensureBroker({ note: (text) => process.stderr.write(`${text}\n`) })
}
