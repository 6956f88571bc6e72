import { hostname, tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import {
  brokerSettings,
  bytes,
  checkBrokerSettings,
  count,
  httpSettings,
  milliseconds,
  name,
  processName,
  readSettings,
} from '../../shared/runtime/config.ts'
import { REPLY_ROOTS } from '../../shared/sdk/contract/subjects.ts'

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
  PELTON_COPIES: z
    .string()
    .min(1)
    .default(join(tmpdir(), `pelton-models-${process.getuid?.() ?? userInfo().username}`))
    .describe(
      'Folder for private copies of models, shared by the workers of this machine and user (default: below the temporary folder)',
    ),
  PELTON_COPIES_MAX_BYTES: bytes(1024 ** 2)
    .default(16 * 1024 ** 3)
    .describe('Bytes all copies in that folder may have; a model that does not fit is not served'),
  PELTON_INSPECT_MS: milliseconds(1_000, 3_600_000)
    .default(20_000)
    .describe('How long loading and trying one model may take'),
  PELTON_INSPECT_BYTES: bytes(64 * 1024 ** 2)
    .default(2 * 1024 ** 3)
    .describe('Memory that loading and trying one model may take; two to three times its file'),
  PELTON_INSPECTORS: count(1, 64)
    .optional()
    .describe('Models inspected at the same time (default: processors, 4 at most)'),
  PELTON_WORKER: processName
    .default(`${hostname()}-${process.pid}`)
    .describe('Name of this worker in headers, ledger and logs (default: host name and process id)'),
  PELTON_THREADS: count(1, 256)
    .optional()
    .describe(
      'Inference threads (default: processors less one, at least 2: one is kept free of runs that may take long)',
    ),
  PELTON_HELD_ROWS: count(1, 1_000_000).default(1_024).describe('Rows this worker may hold or have promised'),
  PELTON_HELD_BYTES: bytes(16 * 1024 ** 2)
    .default(128 * 1024 ** 2)
    .describe('Bytes this worker may hold or have promised'),
  PELTON_RETRIES_EVENTS: count(1, 10_000_000)
    .default(100_000)
    .describe('Events that all workers may keep in RETRIES, for another attempt or parked'),
  PELTON_RETRIES_BYTES: bytes(1024 ** 2)
    .default(2 * 1024 ** 3)
    .describe('Bytes of such events; never more than a quarter of PELTON_RETRIES_MAX_BYTES'),
  PELTON_PARKED_EVENTS: count(0, 9_000_000)
    .default(50_000)
    .describe(
      'Events of models that are not servable which the workers of a pool may park in RETRIES; never more than PELTON_RETRIES_EVENTS',
    ),
  PELTON_PARKED_BYTES: bytes(0)
    .default(1024 ** 3)
    .describe('Bytes of such events which the workers of a pool may park in RETRIES'),
  PELTON_BREAKER_BEYOND: z
    .enum(['hold', 'dead-letter'])
    .default('hold')
    .describe(
      'What becomes of events of a model that fails on everything once no more may be parked: `hold` keeps them in their stream, ' +
        'where their lane may come to stand; `dead-letter` gives them up, and the lane goes on',
    ),
  PELTON_REPLY_PREFIXES: z
    .string()
    .regex(
      /^[A-Za-z0-9_$=-]+(?:\.[A-Za-z0-9_$=-]+)*(?:,[A-Za-z0-9_$=-]+(?:\.[A-Za-z0-9_$=-]+)*)*$/,
      'must be subjects without wildcards, separated by commas',
    )
    .transform((text): readonly string[] => text.split(','))
    .optional()
    .describe(
      'Subjects below which, and nowhere else, an event may ask for a copy of its outcome: where the inboxes of producers and ' +
        `control are, separated by commas (default: \`${REPLY_ROOTS.join('`, `')}\`, the latter behind PELTON_PREFIX)`,
    ),
  PELTON_LINGER_MS: milliseconds(0, 1_000)
    .default(2)
    .describe('How long the first event of a batch waits for others'),
  PELTON_GRACE_MS: milliseconds(0, 3_600_000)
    .default(25_000)
    .describe('How long a drain may take before it is forced'),
} as const

export type WorkerSettings = ReturnType<typeof readWorkerSettings>

/** What decides, beside the folder itself, which of its models are served. */
const { PELTON_COPIES, PELTON_COPIES_MAX_BYTES, PELTON_INSPECT_MS, PELTON_INSPECT_BYTES } = WORKER_SETTINGS
const READING_SETTINGS = { PELTON_COPIES, PELTON_COPIES_MAX_BYTES, PELTON_INSPECT_MS, PELTON_INSPECT_BYTES }

/**
 * How a worker with this environment reads a models folder, for whoever is to find the same in it.
 *
 * @throws PeltonError `invalid-configuration` naming every variable that is not usable
 */
export function readFolderOptions(env: NodeJS.ProcessEnv) {
  return folderOptions(readSettings(READING_SETTINGS, env))
}

/** How a worker with these settings reads its models folder. */
export function folderOptions(settings: Pick<WorkerSettings, keyof typeof READING_SETTINGS>) {
  return {
    copies: { folder: settings.PELTON_COPIES, maxBytes: settings.PELTON_COPIES_MAX_BYTES },
    inspect: { timeLimitMs: settings.PELTON_INSPECT_MS, memoryLimitBytes: settings.PELTON_INSPECT_BYTES },
  }
}

/** @throws PeltonError `invalid-configuration` naming every variable that is not usable */
export function readWorkerSettings(env: NodeJS.ProcessEnv) {
  return checkBrokerSettings(readSettings(WORKER_SETTINGS, env))
}
