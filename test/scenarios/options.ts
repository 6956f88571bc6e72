import { parseArgs } from 'node:util'
import { UsageError } from '../bench/compare/options.ts'
import type { Timing } from './measure/timing.ts'
import { FULL, QUICK } from './measure/timing.ts'

export const CONTESTANT_NAMES = [
  ...([
    'pelton-gateway-off',
    'pelton-sdk-off',
    'pelton-gateway',
    'pelton-sdk',
    'pelton-nats',
    'pelton-both',
  ] as const),
  ...(['naive', 'bullmq'] as const),
] as const
export const SCENARIO_NAMES = [
  'build-up',
  'fivefold',
  'overload',
  'dropped',
  'shapes',
  'backfill',
  'throttling',
  'cascade',
] as const
export type ScenarioName = (typeof SCENARIO_NAMES)[number]
export type ModelName = 'deep' | 'light'

export interface ScenarioOptions {
  readonly timing: Timing
  readonly isQuick: boolean
  readonly contestants: readonly string[]
  readonly scenarios: readonly ScenarioName[]
  readonly model: ModelName
  /** Of the shapes that are drawn at random. */
  readonly seed: number
  readonly isJson: boolean
  readonly isMarkdown: boolean
}

export const USAGE = `Drives Pelton, a naive server and a queue at loads they can and cannot carry.

npm run scenarios -- [scenario …] [options]

Without a scenario: all.

  build-up     latency builds up: twice the load that is carried, for a minute
  fivefold     five times the load that is carried, for half a minute
  overload     ten times the load that is carried, for a short while: memory and descriptors
  dropped      the same with a stream that is soon full, and the broker killed in between (Pelton alone)
  shapes       two loads whose form is drawn at random
  backfill     three times the load that is carried, beside a million events without a deadline (or ten minutes' work, where that
               is less) and the replay of a tenth as many dead letters (Pelton with its doors alone)
  throttling   three times the load that is carried, nine tenths of it from one source: what becomes of the other one
               (contestants that tell sources apart)
  cascade      half of the load that is carried, beside 200,000 events in a minute of a model that fails on every one, from a
               source that asks again whatever it is told, and a subscriber that never takes a result (Pelton with its doors)

Before them, for each contestant: its capacity, the highest step of a staircase; then that load, three times that load, and
the same load for all, three times the most that anybody carries.

  --quick           short steps and loads, ratios as before: for CI
  --only <names>    these contestants alone, separated by commas:
                    ${CONTESTANT_NAMES.join(', ')}
  --model <m>       deep: 2 ms of processor time a row and more, at any size of a batch (default)
                    light: the model of the demo
  --seed <n>        of the shapes (default: one that is drawn, and printed)
  --json            prints all that was measured as JSON, second by second
  --markdown        writes the tables into docs/overload.md, where no run is void
  --help

Exit: 0 done; 1 a run is void: the generator was late, an account does not close, others had the machine, or a contestant did
not reach its own capacity; 2 wrong arguments, or it could not measure; 3 no run is void, and Pelton missed a bar.
docs/overload.md says how to read it.`

const FLAGS = {
  quick: { type: 'boolean', default: false },
  only: { type: 'string' },
  model: { type: 'string', default: 'deep' },
  seed: { type: 'string' },
  json: { type: 'boolean', default: false },
  markdown: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

/**
 * @returns `undefined` where only help is asked for
 * @throws UsageError
 */
export function readScenarioOptions(args: readonly string[]): ScenarioOptions | undefined {
  const { values, positionals } = parse(args)
  if (values.help) return undefined
  return {
    timing: values.quick ? QUICK : FULL,
    isQuick: values.quick,
    contestants: namesOf('--only', values.only?.split(','), CONTESTANT_NAMES),
    scenarios: namesOf('scenario', positionals.length === 0 ? undefined : positionals, SCENARIO_NAMES),
    model: namesOf('--model', [values.model], ['deep', 'light'] as const)[0] ?? 'deep',
    seed: seedOf(values.seed),
    isJson: values.json,
    isMarkdown: values.markdown,
  }
}

function seedOf(text: string | undefined): number {
  if (text === undefined) return Date.now() % 2 ** 31
  const seed = Number(text)
  if (text !== '' && Number.isSafeInteger(seed) && seed >= 0) return seed
  throw new UsageError(`--seed: ${text} is no whole number of 0 or more`)
}

function namesOf<Name extends string>(
  what: string,
  given: readonly string[] | undefined,
  all: readonly Name[],
): readonly Name[] {
  if (given === undefined) return all
  const foreign = given.find((name) => !all.some((each) => each === name))
  if (foreign !== undefined) throw new UsageError(`${what}: ${foreign} is none of ${all.join(', ')}`)
  return all.filter((name) => given.includes(name))
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: true })
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown })
  }
}
