import { describeApi, type OpenApiDocument } from '../../../shared/runtime/openapi.ts'
import { DEAD_LETTERS, letterOperations } from './dead-letters.ts'
import { HEALTH, healthOperations, WATCH, watchOperations } from './overview.ts'
import { REPLAYS, replayOperations } from './replays.ts'

const DESCRIPTION = `What the control service watches, dead letters, replays and the audit. Bodies and queries with a field that is not known
are refused. Times are RFC 3339, or \`90s\`, \`15m\`, \`2h\`, \`7d\` ago. Numbers of answers keep every digit.`

/** @param version of the service */
export function describeControl(version: string): OpenApiDocument {
  return describeApi({
    title: 'Pelton control',
    version,
    description: DESCRIPTION,
    operations: [...watchOperations(), ...letterOperations(), ...replayOperations(), ...healthOperations()],
    parameters: { which: 'Token or sequence of a dead letter', task: 'Id of a replay' },
    tags: {
      [WATCH]: 'What is found wrong, and the audit.',
      [DEAD_LETTERS]: 'Finding, removing, exporting and importing them.',
      [REPLAYS]: 'Sending dead letters again, as a task.',
      [HEALTH]: 'Without a token.',
    },
    security: {
      bearer: {
        type: 'http',
        scheme: 'bearer',
        description: 'That of PELTON_CONTROL_TOKEN, or of control.token in the data folder',
      },
    },
  })
}
