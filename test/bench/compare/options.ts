import { parseArgs } from 'node:util'
import { FEWEST_PAIRS } from './statistics.ts'
import type { Measure } from './summary.ts'

/** Of an open loop. */
export type Rate = { readonly perSecond: number } | { readonly ofCapacity: number }

export interface CompareOptions {
  /** A folder with a checkout, or a git reference of this repository. */
  readonly base: string
  readonly head: string
  readonly rounds: number
  /** Of a drain. */
  readonly events: number
  /** Of an open loop. */
  readonly seconds: number
  /** Events a second of the open loop, or a part of what the slower side drains. */
  readonly rate: Rate
  readonly only: 'drain' | 'open' | undefined
  readonly atLeast: number | undefined
  readonly by: Measure
  /** Cores to pin everything to. */
  readonly cpu: string | undefined
  readonly isJson: boolean
}

export const USAGE = `Compares this checkout with another one: both in turn, on the same cores.

npm run bench:compare -- <other checkout> [options]

  <other checkout>    the base: a folder with a checkout and its packages, or a git reference of this repository
  --head <checkout>   compared with it; given like the base (default this checkout, as it lies there)
  --rounds <n>        pairs of runs of each kind, base first, then head first, and so on (default 12)
  --events <n>        waiting events of a drain that count (default 40000)
  --seconds <n>       how long an open loop counts (default 10)
  --rate <n or n%>    events a second of the open loop, or percent of the slower side's drain (default 50%)
  --only drain|open   one of the two kinds
  --at-least <ratio>  exit 1 unless the whole interval of the ratio head ÷ base is at this or above
  --by rate|cpu       ratio of what: events/s of a drain, or events for each second of processor time of the
                      worker, which other work on the machine changes far less (default rate)
  --cpu <list>        pin everything to these cores: 0,1
  --json              for machines: figures of every run, and their comparison
  --help

Exit: 0 done, or at least as asked; 1 below that, or the interval cannot tell; 2 wrong arguments, or it could not
measure. docs/benchmarks.md says how to read it.`

/** Arguments that cannot be used; its message names the one. */
export class UsageError extends Error {}

const FLAGS = {
  head: { type: 'string' },
  rounds: { type: 'string', default: '12' },
  events: { type: 'string', default: '40000' },
  seconds: { type: 'string', default: '10' },
  rate: { type: 'string', default: '50%' },
  only: { type: 'string' },
  'at-least': { type: 'string' },
  by: { type: 'string' },
  cpu: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

/**
 * @param here the checkout that runs the bench
 * @returns `undefined` where only help is asked for
 * @throws UsageError
 */
export function readOptions(args: readonly string[], here: string): CompareOptions | undefined {
  const { values, positionals } = parse(args)
  if (values.help) return undefined
  const [base, ...more] = positionals
  if (base === undefined) throw new UsageError('name the other checkout: a folder or a git reference')
  if (more.length > 0) throw new UsageError(`one other checkout, not ${positionals.join(' and ')}`)
  const options = {
    base,
    head: values.head ?? here,
    rounds: whole('rounds', values.rounds),
    events: whole('events', values.events),
    seconds: whole('seconds', values.seconds),
    rate: readRate(values.rate),
    only: choice('only', values.only, ['drain', 'open']),
    atLeast: values['at-least'] === undefined ? undefined : positive('at-least', values['at-least']),
    by: choice('by', values.by, ['rate', 'cpu']) ?? 'rate',
    cpu: values.cpu,
    isJson: values.json,
  }
  refuseContradictions(options, values.by !== undefined)
  return options
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: true })
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown })
  }
}

function refuseContradictions({ only, rate, atLeast, rounds }: CompareOptions, hasMeasure: boolean): void {
  if (only === 'open' && 'ofCapacity' in rate)
    throw new UsageError('--only open drains nothing: --rate needs events a second')
  if (hasMeasure && atLeast === undefined) throw new UsageError('--by is for --at-least')
  if (atLeast === undefined) return
  if (only === 'open') throw new UsageError('--at-least goes by drains: not with --only open')
  if (rounds < FEWEST_PAIRS)
    throw new UsageError(
      `--at-least needs --rounds ${FEWEST_PAIRS} or more: fewer have no interval to go by, not ${rounds}`,
    )
}

/** `4400`, or `50%` of what is drained. */
export function readRate(text: string): Rate {
  if (text.endsWith('%')) return { ofCapacity: positive('rate', text.slice(0, -1)) / 100 }
  return { perSecond: positive('rate', text) }
}

export function choice<Choice extends string>(
  flag: string,
  text: string | undefined,
  choices: readonly Choice[],
): Choice | undefined {
  const chosen = choices.find((each) => each === text)
  if (chosen === undefined && text !== undefined)
    throw new UsageError(`--${flag} takes ${choices.join(' or ')}, not ${text}`)
  return chosen
}

export function whole(flag: string, text: string): number {
  const value = positive(flag, text)
  if (Number.isSafeInteger(value)) return value
  throw new UsageError(`--${flag} needs a whole number, not ${text}`)
}

export function positive(flag: string, text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value
  throw new UsageError(`--${flag} needs a number above 0, not ${text}`)
}
