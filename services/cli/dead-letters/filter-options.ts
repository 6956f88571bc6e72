import { userInfo } from 'node:os'
import { type Command, InvalidArgumentError } from 'commander'
import type { DeadLetterFilter } from '../../../shared/operations/dead-letters/filter.ts'
import { isReason, REASONS, type Reason } from '../../../shared/sdk/errors.ts'
import { moment, wholeNumber } from '../option-values.ts'

/** What {@link addFilterOptions} reads from a command line. */
export interface FilterArguments {
  readonly model?: string
  readonly reason?: Reason
  readonly since?: Date
  readonly until?: Date
  readonly key?: string
  readonly id?: string
  readonly subject?: string
  readonly text?: string
  readonly maxFailures?: number
}

/** The options by which every command chooses dead letters. */
export function addFilterOptions(command: Command): Command {
  return command
    .option('--model <name>', 'only those of this model')
    .option('--reason <reason>', `only those with this reason: ${Object.keys(REASONS).join(', ')}`, reason)
    .option('--since <time>', 'only those that failed since: a time, or 90s, 15m, 2h, 7d ago', (text) =>
      moment(text),
    )
    .option('--until <time>', 'only those that failed before: likewise', (text) => moment(text))
    .option('--key <key>', 'only those of events with this ce-partitionkey')
    .option('--id <id>', 'only those of events with this id')
    .option('--subject <subject>', 'only those of events with this ce-subject')
    .option('--text <text>', 'only those with this in their description, in any case')
    .option('--max-failures <n>', 'only those that failed this often at most', wholeNumber)
}

/** The filter that options ask for: only what was given stands in it. Times become RFC 3339. */
export function readFilter(given: FilterArguments): DeadLetterFilter {
  const { model, reason: why, since, until, key, id, subject, text, maxFailures } = given
  const times = {
    ...(since !== undefined && { since: since.toISOString() }),
    ...(until !== undefined && { until: until.toISOString() }),
  }
  const rest = Object.entries({ model, reason: why, key, id, subject, text, maxFailures })
  return { ...times, ...Object.fromEntries(rest.filter(([, value]) => value !== undefined)) }
}

/** The operator's name, for the records: as given, else the user of this machine. */
export function operator(given: string | undefined): string {
  return given ?? (process.env.USER || userInfo().username)
}

function reason(text: string): Reason {
  if (isReason(text)) return text
  throw new InvalidArgumentError(`It must be one of ${Object.keys(REASONS).join(', ')}.`)
}
