import { parseArgs } from 'node:util'
import type { Profile } from '../../scale/ground.ts'
import { choice, positive, type Rate, readRate, UsageError, whole } from '../compare/options.ts'

export const SCENARIO_NAMES = [
  'peers',
  'latency',
  'models',
  'binary',
  'heavy',
  'backlog',
  'sdk',
  'security',
  'gateway',
  'refusal',
  'stages',
] as const
export type ScenarioName = (typeof SCENARIO_NAMES)[number]

export interface BenchOptions {
  readonly scenario: ScenarioName
  /** How often everybody is measured, in turn. */
  readonly rounds: number
  /** That count in one run, after the warm-up. */
  readonly events: number
  /** Names or families of contestants; undefined for all. */
  readonly only: readonly string[] | undefined
  readonly profiles: readonly Profile[]
  /** How long a steady load counts. */
  readonly seconds: number
  /** Events a second of a steady load, or a part of what a backlog is drained at. */
  readonly rate: Rate
  /** A checkout measured beside this one: a folder, or a git reference. */
  readonly other: string | undefined
  /** Models in the folder. */
  readonly models: number
  /** Waiting events of the small and the large backlog. */
  readonly small: number
  readonly large: number
  /** Where the figures of every run are written. */
  readonly jsonFile: string | undefined
  /** Saved figures to compare with. */
  readonly againstFile: string | undefined
  /** Whether the tables go into docs/benchmarks.md. */
  readonly isMarkdown: boolean
  /** Cores to pin everything to. */
  readonly cpu: string | undefined
}

const FLAGS = {
  rounds: { type: 'string' },
  events: { type: 'string' },
  only: { type: 'string' },
  profile: { type: 'string' },
  seconds: { type: 'string' },
  rate: { type: 'string' },
  other: { type: 'string' },
  models: { type: 'string' },
  small: { type: 'string' },
  large: { type: 'string' },
  json: { type: 'string' },
  against: { type: 'string' },
  markdown: { type: 'boolean', default: false },
  cpu: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const

/** Flags that every scenario has. */
const COMMON = ['rounds', 'json', 'against', 'markdown', 'cpu', 'help'] as const

type Own = Exclude<keyof typeof FLAGS, (typeof COMMON)[number]>

/** What a scenario can be told, beside what all can, and its defaults. */
const SCENARIOS: Readonly<Record<ScenarioName, { readonly rounds: string } & Partial<Record<Own, string>>>> =
  {
    peers: { rounds: '5', events: '40000', only: '', profile: 'process' },
    latency: { rounds: '3', events: '500', seconds: '5', rate: '4400', other: '' },
    models: { rounds: '3', events: '60000', models: '200', seconds: '20' },
    binary: { rounds: '3', events: '20000' },
    heavy: { rounds: '3', seconds: '5' },
    backlog: { rounds: '1', small: '50000', large: '1000000' },
    sdk: { rounds: '3', events: '50000', other: '' },
    security: { rounds: '5', events: '40000', other: '' },
    gateway: { rounds: '5', events: '20000' },
    refusal: { rounds: '5', events: '20000', rate: '4000' },
    stages: { rounds: '3', events: '40000' },
  }

export const USAGE = `Measures Pelton beside what else one could take, and beside what the machine allows.

npm run bench -- [scenario] [options]

Without a scenario: peers --only pelton,floor,floor-bare.

  peers     everybody who answers the same events, in turn on the same cores; names of --only:
            pelton, floor, floor-bare, client, runtime, afternoon-1, afternoon-256, bullmq-32, bullmq-128, fastify, nestjs;
            the beginning of several names stands for all of them: bullmq
  latency   one event on an idle pipeline, beside two bare hops through the broker and the model's own time;
            then how long events wait at a steady rate
  models    many models loaded: an idle worker, one of them in use, all in turn
  binary    binary tensors beside JSON features, 32 and 1,024 of them
  heavy     models of 1 and 10 ms a row beside the bare runtime, and the worker's pings of its broker meanwhile
  backlog   a large backlog beside a small one: rate and memory
  sdk       how fast a producer publishes and a subscriber reads
  security  a worker with TLS, with an nkey and a worker's rights, and with a prefix, beside one without any of it
  gateway   requests over HTTP beside Fastify with the model in its handler, with keys beside without, and what HTTP adds
            to one event on an idle pipeline
  refusal   requests that a gateway refuses beside a bare Fastify route that reads and answers the same ones
  stages    a profile: whose time an event takes on the main thread of a worker

  --rounds <n>            runs of each (peers, security, gateway, refusal 5, backlog 1, others 3)
  --events <n>            that count in one run, after the warm-up (peers, security, stages 40000, models 60000,
                          binary, gateway, refusal 20000, sdk 50000, latency 500, one after the other)
  --only <names>          peers: these alone
  --profile <p>           peers: process (one server, one copy), power (three servers, three copies, writes synced),
                          or both (default process)
  --rate <n or n%>        latency: events a second, or percent of what a backlog is drained at (default 4400);
                          refusal: requests a second (4000)
  --seconds <n>           latency, heavy: how long a steady load counts (default 5); models: how long it idles (20)
  --other <checkout>      latency, sdk, security: measured beside this one; a folder with its packages, or a git reference
  --models <n>            models: in the folder (default 200)
  --small, --large <n>    backlog: waiting events (default 50000, 1000000)
  --json <file>           figures of every run
  --against <file>        compares with figures saved by --json, and names what changed
  --markdown              writes the tables into docs/benchmarks.md
  --cpu <list>            pin everything to these cores: 0,1
  --help

Exit: 0 done; 1 a run of Pelton is void: an answer is missing, is not the model's own, or the audit is not clean;
2 wrong arguments, or it could not measure. docs/benchmarks.md says how to read it.`

/**
 * @returns `undefined` where only help is asked for
 * @throws UsageError
 */
export function readBenchOptions(args: readonly string[]): BenchOptions | undefined {
  const { values, positionals } = parse(args)
  if (values.help) return undefined
  const [given, ...more] = positionals
  if (more.length > 0) throw new UsageError(`one scenario, not ${positionals.join(' and ')}`)
  const scenario = scenarioOf(given)
  const defaults = SCENARIOS[scenario]
  refuseForeign(scenario, values)
  const text = (flag: Own | 'rounds'): string => values[flag] ?? defaults[flag] ?? '1'
  const only = values.only ?? (given === undefined ? 'pelton,floor,floor-bare' : '')
  return {
    scenario,
    rounds: whole('rounds', text('rounds')),
    events: whole('events', text('events')),
    only: only === '' ? undefined : only.split(','),
    profiles: profilesOf(text('profile')),
    seconds: positive('seconds', text('seconds')),
    rate: readRate(text('rate')),
    other: values.other,
    models: whole('models', text('models')),
    small: whole('small', text('small')),
    large: whole('large', text('large')),
    jsonFile: values.json,
    againstFile: values.against,
    isMarkdown: values.markdown,
    cpu: values.cpu,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: true })
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown })
  }
}

function scenarioOf(given = 'peers'): ScenarioName {
  const found = SCENARIO_NAMES.find((name) => name === given)
  if (found !== undefined) return found
  throw new UsageError(`${given} is no scenario: ${SCENARIO_NAMES.join(', ')}`)
}

/** What a scenario does not read would be taken for what it did. */
function refuseForeign(scenario: ScenarioName, values: Readonly<Record<string, unknown>>): void {
  const known: readonly string[] = [...COMMON, ...Object.keys(SCENARIOS[scenario])]
  const foreign = Object.keys(values).filter((flag) => !known.includes(flag))
  if (foreign.length > 0) throw new UsageError(`--${foreign[0]} is not for ${scenario}`)
}

function profilesOf(text: string): readonly Profile[] {
  if (text === '1') return ['process'] // of a scenario that has no choice
  const chosen = choice('profile', text, ['process', 'power', 'both'])
  return chosen === 'both' || chosen === undefined ? ['process', 'power'] : [chosen]
}
