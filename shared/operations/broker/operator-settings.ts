import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { z } from 'zod'
import { brokerSettings, checkBrokerSettings, milliseconds, readSettings } from '../../runtime/config.ts'

/** What an operator's commands and the control service know of their broker, beside how to reach it. */
export const OPERATOR_SETTINGS = {
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
  PELTON_MARKS_FOLDER: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Folder of the durable marks, on a disk that outlives the broker: `pelton control` and `pelton up` write down there how ' +
        'far FEATURES has come, `pelton audit` reads it (default: `marks` in the data folder; none for `pelton control` ' +
        'that runs alone)',
    ),
  PELTON_RESEND_HORIZON_MS: milliseconds(0, 30 * 24 * 3_600_000)
    .default(600_000)
    .describe(
      'How late a producer may send an event again, with the same id, and get the answer it had: RESULTS must remember it for so ' +
        'long beside `ack_wait` and the longest wait between two attempts, as `pelton doctor` and the watch work out',
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

/** The settings of an operator; those of the broker come with them. @throws PeltonError `invalid-configuration` */
export function readOperatorSettings(env: NodeJS.ProcessEnv) {
  return checkBrokerSettings(readSettings({ ...brokerSettings, ...OPERATOR_SETTINGS }, env))
}

/** Where the embedded broker of `pelton up` keeps its streams; commands look for a running one there. */
export function brokerDataDir(env: NodeJS.ProcessEnv): string {
  const { PELTON_DATA, XDG_DATA_HOME = '' } = env
  if (PELTON_DATA) return PELTON_DATA
  // As specified, a relative XDG path is ignored.
  return join(isAbsolute(XDG_DATA_HOME) ? XDG_DATA_HOME : join(homedir(), '.local', 'share'), 'pelton')
}

/** Where durable marks lie for what runs on this machine, where no setting says so: beside the streams of `pelton up`. */
export function marksFolder(env: NodeJS.ProcessEnv, dataDir = brokerDataDir(env)): string {
  return readOperatorSettings(env).PELTON_MARKS_FOLDER ?? join(dataDir, 'marks')
}
