import { parseArgs } from 'node:util'
import { choice, positive, UsageError, whole } from '../bench/compare/options.ts'
import { LAW_NAMES, LAWS, type LawName } from './doors/laws.ts'
import { SHAPES, type Shape } from './load/shapes.ts'
import { USUAL } from './setup.ts'

export interface SimulateOptions {
  readonly shapes: readonly Shape[]
  readonly laws: readonly LawName[]
  readonly seed: number
  readonly doors: number
  readonly workers: number
  readonly times: number
  readonly seconds: number
  readonly isJson: boolean
  /** Everything that chooses a constant, and writes it into docs/. */
  readonly isDocs: boolean
}

export const USAGE = `Simulates overload: the doors as they are built, a stream, workers and clients, in virtual time.

npm run simulate -- [options]

  --shape <s>     one shape of the load: ${SHAPES.join(', ')}
                  (default all)
  --law <l>       what doors go by (default none and pelton):
${LAW_NAMES.map((name) => `                  ${name.padEnd(8)}${LAWS[name].title}`).join('\n')}
  --doors <n>     gateways, or producers of the SDK (default ${USUAL.doors})
  --workers <n>   with one thread each (default ${USUAL.workers})
  --times <x>     the load, as a multiple of what is carried (default ${USUAL.times})
  --seconds <n>   how long it lasts (default ${USUAL.seconds})
  --seed <n>      the same seed is the same run (default ${USUAL.seed})
  --json          prints all that was measured, slice by slice
  --docs          runs the sweeps that constants are chosen by, a few minutes; writes docs/overload/*.svg and the tables of
                  docs/overload.md. Takes no other option
  --help

Exit: 0 done; 1 an account does not close: sent is not predictions, dead letters and refusals together; 2 wrong arguments.
docs/overload.md says how to read it.`

const FLAGS = {
  shape: { type: 'string' },
  law: { type: 'string' },
  doors: { type: 'string' },
  workers: { type: 'string' },
  times: { type: 'string' },
  seconds: { type: 'string' },
  seed: { type: 'string' },
  json: { type: 'boolean', default: false },
  docs: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

/**
 * @returns `undefined` where only help is asked for
 * @throws UsageError
 */
export function readSimulateOptions(args: readonly string[]): SimulateOptions | undefined {
  const values = parse(args)
  if (values.help) return undefined
  const given = Object.keys(FLAGS).find((flag) => flag !== 'docs' && values[flag as keyof typeof FLAGS])
  if (values.docs && given !== undefined)
    throw new UsageError(`--docs runs what docs/overload.md shows, and takes no --${given}`)
  const number = (flag: 'doors' | 'workers' | 'seconds' | 'seed'): number =>
    values[flag] === undefined ? USUAL[flag] : whole(flag, values[flag])
  const [shape, law] = [choice('shape', values.shape, SHAPES), choice('law', values.law, LAW_NAMES)]
  return {
    shapes: shape === undefined ? SHAPES : [shape],
    laws: law === undefined ? ['none', 'pelton'] : [law],
    ...{ seed: number('seed'), doors: number('doors'), workers: number('workers') },
    seconds: number('seconds'),
    times: values.times === undefined ? USUAL.times : positive('times', values.times),
    ...{ isJson: values.json, isDocs: values.docs },
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS }).values
  } catch (thrown) {
    throw new UsageError(thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown })
  }
}
