import { parseArgs } from 'node:util'
import { UsageError } from '../bench/compare/options.ts'
import type { Timing } from './measure/timing.ts'
import { FULL, QUICK } from './measure/timing.ts'

export const CONTESTANT_NAMES = ['pelton-gateway', 'pelton-sdk', 'naive', 'bullmq'] as const
export const SCENARIO_NAMES = ['build-up', 'overload'] as const
export type ScenarioName = (typeof SCENARIO_NAMES)[number]
export type ModelName = 'deep' | 'light'

export interface ScenarioOptions {
  readonly timing: Timing
  readonly isQuick: boolean
  readonly contestants: readonly string[]
  readonly scenarios: readonly ScenarioName[]
  readonly model: ModelName
  readonly isJson: boolean
  readonly isMarkdown: boolean
}

export const USAGE = `Drives Pelton, a naive server and a queue at loads they can and cannot carry.

npm run scenarios -- [scenario …] [options]

Without a scenario: all.

  build-up   latency builds up: twice the load that is carried, for a minute
  overload   ten times the load that is carried, for a short while: memory and descriptors

Before them, for each contestant: its capacity, the highest step of a staircase; then that load, three times that load, and
the same load for all, three times the most that anybody carries.

  --quick           short steps and loads, ratios as before: for CI
  --only <names>    these contestants alone, separated by commas: ${CONTESTANT_NAMES.join(', ')}
  --model <m>       deep: 2 ms of processor time a row and more, at any size of a batch (default)
                    light: the model of the demo
  --json            prints all that was measured as JSON, second by second
  --markdown        writes the tables into docs/overload.md, where no run is void
  --help

Exit: 0 done; 1 a run is void: the generator was late, an account does not close, others had the machine, or a contestant did
not reach its own capacity; 2 wrong arguments, or it could not measure. docs/overload.md says how to read it.`

const FLAGS = {
  quick: { type: 'boolean', default: false },
  only: { type: 'string' },
  model: { type: 'string', default: 'deep' },
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
    isJson: values.json,
    isMarkdown: values.markdown,
  }
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
