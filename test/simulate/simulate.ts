// Simulates overload, and chooses the constants of admission (docs/overload.md).
// npm run simulate -- --help
import { messageOf } from '../../shared/sdk/errors.ts'
import { UsageError } from '../bench/compare/options.ts'
import { plainLines } from '../bench/suite/table.ts'
import { writeDocs } from './docs.ts'
import { LAWS } from './doors/laws.ts'
import { NotClosed } from './measure/account.ts'
import { readSimulateOptions, type SimulateOptions, USAGE } from './options.ts'
import { tableOf } from './report.ts'
import { simulate } from './run.ts'
import { setupOf } from './setup.ts'

const EXIT = { ok: 0, notClosed: 1, failed: 2 } as const

const note = (text: string): void => void process.stderr.write(`${text}\n`)

async function run(options: SimulateOptions): Promise<void> {
  if (options.isDocs) return writeDocs(note)
  const { shapes, laws, isJson, isDocs: _, ...wish } = options
  const runs = shapes.flatMap((shape) =>
    laws.map((law) => {
      note(`${shape}, ${law}`)
      return { shape, law, account: simulate(setupOf({ ...wish, shape, law: LAWS[law].make })) }
    }),
  )
  console.log(
    isJson
      ? JSON.stringify({ kind: 'pelton-simulation', ...wish, runs })
      : plainLines(tableOf(runs)).join('\n'),
  )
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readSimulateOptions(args)
    if (options === undefined) console.log(USAGE)
    else await run(options)
    return EXIT.ok
  } catch (thrown) {
    note(`simulate: ${messageOf(thrown)}`)
    if (thrown instanceof UsageError) note('See npm run simulate -- --help.')
    return thrown instanceof NotClosed ? EXIT.notClosed : EXIT.failed
  }
}

process.exitCode = await main(process.argv.slice(2))
