import { hostname } from 'node:os'
import { z } from 'zod'
import {
  allowedHosts,
  brokerSettings,
  checkBrokerSettings,
  count,
  host,
  milliseconds,
  processName,
  readSettings,
} from '../../shared/runtime/config.ts'

const MOST_WAIT_MS = 7 * 24 * 3_600_000

/** Port of the control service where nothing else is asked for. */
export const DEFAULT_CONTROL_PORT = 8470

/** Settings of the control service beside those of the broker and of the command line. */
export const CONTROL_SERVICE_SETTINGS = {
  PELTON_CONTROL_HOST: host
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
  PELTON_CONTROL_ALLOWED_HOSTS: allowedHosts.describe(
    'Names the control service may be called by (default: on loopback, the names of loopback; else any)',
  ),
  PELTON_CONTROL_NAME: processName
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

export type ControlServiceSettings = ReturnType<typeof readControlServiceSettings>

/** @throws PeltonError `invalid-configuration` naming every variable that is not usable */
export function readControlServiceSettings(env: NodeJS.ProcessEnv) {
  return checkBrokerSettings(readSettings({ ...brokerSettings, ...CONTROL_SERVICE_SETTINGS }, env))
}
