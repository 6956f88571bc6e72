import { hostname } from 'node:os'
import { z } from 'zod'
import {
  brokerSettings,
  bytes,
  count,
  httpSettings,
  milliseconds,
  name,
  readSettings,
} from '../../shared/runtime/config.ts'

/** Every setting of a worker: environment variable → schema with default and description. */
export const WORKER_SETTINGS = {
  ...brokerSettings,
  ...httpSettings,
  PELTON_POOL: name.default('default').describe('Pool this worker serves'),
  PELTON_MODELS: z
    .string()
    .min(1)
    .default('models')
    .describe('Folder of models: <name>/<version>/model.onnx'),
  PELTON_WORKER: z
    .string()
    .regex(/^[!-~]{1,64}$/, 'must be 1 to 64 printable characters without spaces')
    .default(`${hostname()}-${process.pid}`)
    .describe('Name of this worker in headers, ledger and logs (default: host name and process id)'),
  PELTON_THREADS: count(1, 256)
    .optional()
    .describe(
      'Inference threads (default: processors less one, at least 2: one is kept free of runs that may take long)',
    ),
  PELTON_HELD_ROWS: count(1, 1_000_000).default(2_048).describe('Rows this worker may hold or have promised'),
  PELTON_HELD_BYTES: bytes(16 * 1024 ** 2)
    .default(128 * 1024 ** 2)
    .describe('Bytes this worker may hold or have promised'),
  PELTON_LINGER_MS: milliseconds(0, 1_000)
    .default(2)
    .describe('How long the first event of a batch waits for others'),
  PELTON_GRACE_MS: milliseconds(0, 3_600_000)
    .default(25_000)
    .describe('How long a drain may take before it is forced'),
} as const

export type WorkerSettings = ReturnType<typeof readWorkerSettings>

/** @throws PeltonError `invalid-configuration` naming every variable that is not usable */
export function readWorkerSettings(env: NodeJS.ProcessEnv) {
  return readSettings(WORKER_SETTINGS, env)
}
