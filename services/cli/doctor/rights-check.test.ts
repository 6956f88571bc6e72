import { type NatsConnection, PermissionViolationError } from '@nats-io/transport-node'
import { expect, it } from 'vitest'
import { namedFinding } from '../../../shared/operations/broker/finding.ts'
import { claimNames } from '../../../shared/sdk/jetstream/names-of.ts'
import { checkRights } from './rights-check.ts'

it.each([
  ['without a prefix', undefined, ''],
  ['with one', 'staging', 'staging-'],
])(
  'a right that is missing is told by the subject that the broker refused, %s',
  async (_what, prefix, lead) => {
    const refused: string[] = []
    const connection = {
      request: async (subject: string) => {
        refused.push(subject)
        throw new PermissionViolationError(
          `Permissions Violation for Publish to "${subject}"`,
          'publish',
          subject,
        )
      },
    } as unknown as NatsConnection // all that a request needs
    const names = claimNames(connection, prefix)
    const findings = (await checkRights(connection)).map((finding) => namedFinding(names, finding))
    expect(refused).toHaveLength(10)
    expect(refused).toContain(`$JS.API.CONSUMER.LIST.${lead}FEATURES`)
    expect(findings.map(({ level, text }) => `${level}: ${text.split(' ')[0]}`)).toEqual(
      refused.map((subject) => `fail: ${subject}`),
    )
  },
)
