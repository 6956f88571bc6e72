import { homedir, hostname } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { z } from 'zod'
import { brokerSettings, bytes, count, milliseconds, readSettings } from '../../shared/runtime/config.ts'
import { DEFAULT_TOPOLOGY, type TopologyOptions } from '../../shared/sdk/contract/topology.ts'

const MOST_WAIT_MS = 7 * 24 * 3_600_000

/** Settings of the command line beside those of the broker. */
export const CONTROL_SETTINGS = {
  PELTON_DATA: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Folder of the embedded broker of `pelton up` (default: $XDG_DATA_HOME/pelton, else ~/.local/share/pelton)',
    ),
  PELTON_DURABILITY: z
    .enum(['process', 'power'])
    .default('process')
    .describe(
      'What acknowledged events must survive: `process` the end of any process, `power` a loss of power too. The embedded ' +
        'broker is started so; `pelton doctor` warns when a broker promises less',
    ),
  PELTON_NATS_MONITOR_URL: z
    .string()
    .regex(
      /^https?:\/\/[^\s,@/]+\/?(?:,https?:\/\/[^\s,@/]+\/?)*$/,
      'must be an address like http://host:8222, several separated by commas',
    )
    .transform((text) => text.split(',').map((url) => url.replace(/\/$/, '')))
    .optional()
    .describe(
      'Monitoring of the servers of the broker, all of them, separated by commas: how `pelton doctor` and the control ' +
        'service learn whether they sync before they acknowledge (default: that of `pelton up`)',
    ),
} as const

/** Port of the control service where nothing else is asked for. */
export const DEFAULT_CONTROL_PORT = 8470

/** Settings of the control service beside those of the broker and of the command line. */
export const CONTROL_SERVICE_SETTINGS = {
  PELTON_CONTROL_HOST: z
    .string()
    .regex(/^[0-9A-Za-z.:_-]{1,255}$/, 'must be an address or a host name')
    .default('127.0.0.1')
    .describe('Address the control service listens on; another than loopback needs PELTON_CONTROL_TOKEN'),
  PELTON_CONTROL_PORT: count(0, 65_535)
    .default(DEFAULT_CONTROL_PORT)
    .describe('Port of the control service; 0 takes any free port and logs it'),
  PELTON_CONTROL_TOKEN: z
    .string()
    .optional()
    .describe(
      'Token clients send, or several as `name:token` separated by commas (default: one is generated and kept in the data folder)',
    ),
  PELTON_CONTROL_ALLOWED_HOSTS: z
    .string()
    .regex(/^[0-9A-Za-z.:_[\],-]{1,1000}$/, 'must be host names separated by commas')
    .optional()
    .describe(
      'Names the control service may be called by (default: on loopback, the names of loopback; else any)',
    ),
  PELTON_CONTROL_NAME: z
    .string()
    .regex(/^[!-~]{1,64}$/, 'must be 1 to 64 printable characters without spaces')
    .default(`control-${hostname()}-${process.pid}`)
    .describe('Name of this control service in records and logs (default: host name and process id)'),
  PELTON_CONTROL_GRACE_MS: milliseconds(0, 3_600_000)
    .default(20_000)
    .describe('How long a control service may take to pause its replays before it is forced'),
  PELTON_WATCH_MS: milliseconds(100, 3_600_000)
    .default(10_000)
    .describe('How often the control service looks at the broker'),
  PELTON_UNSERVED_MS: milliseconds(0, MOST_WAIT_MS)
    .default(60_000)
    .describe('How long a pool may stand still with events before that is an alert'),
  PELTON_AUDIT_EVERY_MS: milliseconds(0, MOST_WAIT_MS)
    .default(3_600_000)
    .describe('How often the control service that watches audits by itself; 0 for never'),
  PELTON_NOTICE_GRACE_MS: milliseconds(0, MOST_WAIT_MS)
    .default(300_000)
    .describe('How old a failure notice must be before its dead letter is looked for'),
} as const

const D = DEFAULT_TOPOLOGY
const MOST = Number.MAX_SAFE_INTEGER
/** Nanoseconds in a signed 64-bit integer end after 292 years; a hundred are enough. */
const MOST_MS = 100 * 365 * 24 * 3_600_000

/** Limits of the streams and consumers, for `pelton provision` and `pelton up`. */
export const TOPOLOGY_SETTINGS = {
  PELTON_REPLICAS: count(1, 5).default(D.replicas).describe('Copies of each stream in a cluster'),
  PELTON_FEATURES_MAX_MESSAGES: count(1, MOST)
    .default(D.featuresMaxMessages)
    .describe('Events that may wait; beyond it producers are refused'),
  PELTON_FEATURES_MAX_BYTES: bytes(1024 ** 2)
    .default(D.featuresMaxBytes)
    .describe('Bytes of events that may wait'),
  PELTON_FEATURES_MAX_PER_SUBJECT: count(1, MOST)
    .default(D.featuresMaxPerSubject)
    .describe('Events of one model and lane that may wait'),
  PELTON_RESULTS_MAX_AGE_MS: milliseconds(60_000, MOST_MS)
    .default(D.resultsMaxAgeMs)
    .describe('How long results are kept, and with them the promise of one outcome per event'),
  PELTON_RESULTS_MAX_MESSAGES: count(1, MOST)
    .default(D.resultsMaxMessages)
    .describe('Results kept at most; each costs about 0.45 KB of broker memory'),
  PELTON_DEAD_LETTERS_MAX_MESSAGES: count(1, MOST)
    .default(D.deadLettersMaxMessages)
    .describe('Dead letters kept at most; beyond it workers wait, nothing is dropped'),
  PELTON_LEDGER_MAX_AGE_MS: milliseconds(60_000, MOST_MS)
    .default(D.ledgerMaxAgeMs)
    .describe('How long the ledger is kept: longer than anything it accounts for'),
  PELTON_ACK_WAIT_MS: milliseconds(1_000, 3_600_000)
    .default(D.ackWaitMs)
    .describe('How long a worker may hold an event without a sign of life'),
  PELTON_MAX_ACK_PENDING: count(1, 10_000_000)
    .default(D.maxAckPending)
    .describe('Events of a pool and lane in flight over all workers'),
} as const

/** Everything a command of the command line reads; the broker settings come with it. */
export function readControlSettings(env: NodeJS.ProcessEnv) {
  return readSettings({ ...brokerSettings, ...CONTROL_SETTINGS }, env)
}

export type ControlServiceSettings = ReturnType<typeof readControlServiceSettings>

/** @throws PeltonError `invalid-configuration` naming every variable that is not usable */
export function readControlServiceSettings(env: NodeJS.ProcessEnv) {
  return readSettings({ ...brokerSettings, ...CONTROL_SERVICE_SETTINGS }, env)
}

/** @throws PeltonError `invalid-configuration` naming every variable that is not usable */
export function readTopology(env: NodeJS.ProcessEnv): TopologyOptions {
  const settings = readSettings(TOPOLOGY_SETTINGS, env)
  return {
    replicas: settings.PELTON_REPLICAS,
    featuresMaxMessages: settings.PELTON_FEATURES_MAX_MESSAGES,
    featuresMaxBytes: settings.PELTON_FEATURES_MAX_BYTES,
    featuresMaxPerSubject: settings.PELTON_FEATURES_MAX_PER_SUBJECT,
    resultsMaxAgeMs: settings.PELTON_RESULTS_MAX_AGE_MS,
    resultsMaxMessages: settings.PELTON_RESULTS_MAX_MESSAGES,
    deadLettersMaxMessages: settings.PELTON_DEAD_LETTERS_MAX_MESSAGES,
    ledgerMaxAgeMs: settings.PELTON_LEDGER_MAX_AGE_MS,
    ackWaitMs: settings.PELTON_ACK_WAIT_MS,
    maxAckPending: settings.PELTON_MAX_ACK_PENDING,
  }
}

/** Where the embedded broker of `pelton up` keeps its streams; commands look for a running one there. */
export function brokerDataDir(env: NodeJS.ProcessEnv): string {
  const { PELTON_DATA, XDG_DATA_HOME = '' } = env
  if (PELTON_DATA) return PELTON_DATA
  // As specified, a relative XDG path is ignored.
  return join(isAbsolute(XDG_DATA_HOME) ? XDG_DATA_HOME : join(homedir(), '.local', 'share'), 'pelton')
}
