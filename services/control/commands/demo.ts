import { Command } from 'commander'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { provision } from '../../../shared/sdk/jetstream/provision.ts'
import { areaUnderCurve } from '../../demo/auc.ts'
import { type DemoReport, runDemo } from '../../demo/demo.ts'
import { DEMO_MODELS } from '../../demo/models.ts'
import { percentile } from '../../demo/tally.ts'
import { useBroker } from '../broker.ts'
import { createTerminal, type Terminal } from '../terminal.ts'
import { superviseWorkers } from '../workers.ts'

/** The least area under the curve the demo accepts: what a model without recent delays does not reach. */
const LEAST_AUC = 0.72

interface DemoArguments {
  readonly flights: number
  readonly workers: number
  readonly unanswered: number
}

export function demoCommand(): Command {
  return new Command('demo')
    .summary('predict the delays of real flights, and count what came of each')
    .description(
      'Replays the last flights of the US Bureau of Transportation Statistics of June 2001 as events, some of them\n' +
        'spoiled on purpose, and sets the predictions and dead letters against what became of the flights.',
    )
    .option('--flights <n>', 'flights to replay', wholeNumber, 20_000)
    .option('--workers <n>', 'worker processes', wholeNumber, 1)
    .option('--unanswered <n>', 'events that may be without an answer at any time', wholeNumber, 2_000)
    .action(async (options: DemoArguments) => {
      process.exitCode = await demo(options, createTerminal())
    })
}

async function demo({ flights, workers, unanswered }: DemoArguments, terminal: Terminal): Promise<number> {
  const interrupted = new AbortController()
  const onInterrupt = (): void => {
    if (interrupted.signal.aborted) process.exit(EXIT_CODES.forced)
    terminal.note('stopping: waiting for the answers to what was sent; again to force')
    interrupted.abort()
  }
  process.on('SIGINT', onInterrupt).on('SIGTERM', onInterrupt)
  const broker = await useBroker(process.env, { note: terminal.note })
  try {
    await provision(broker.connection)
    const fleet = superviseWorkers({
      count: workers,
      models: DEMO_MODELS,
      env: broker.env,
      note: terminal.note,
    })
    try {
      const report = await runDemo({
        connection: broker.connection,
        count: flights,
        maxUnanswered: unanswered,
        signal: interrupted.signal,
        onProgress: ({ sent, answered, total }) =>
          terminal.progress(`flights: ${sent} of ${total} sent, ${answered} answered`),
      })
      return summarize(report, terminal)
    } finally {
      await fleet.stop()
    }
  } finally {
    await broker.close()
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
  }
}

/** Prints what came of the run. @returns the exit code: 0 only if every count closes and the model kept its quality */
function summarize(report: DemoReport, terminal: Terminal): number {
  const { sent, predictions, deadLetters, doubled, unexpected, deadLettersStored, latenciesMs } = report
  const closes =
    sent === predictions + deadLetters &&
    doubled === 0 &&
    unexpected === 0 &&
    deadLetters === deadLettersStored
  const auc = predictions > 1 ? areaUnderCurve(report.scores, report.late) : Number.NaN
  const line = (name: string, text: string): void => terminal.print(`  ${name.padEnd(14)}${text}`)
  terminal.print(terminal.strong(`flights of ${report.source}`))
  line(
    'counts',
    `${sent} in = ${predictions} predictions + ${deadLetters} dead letters${closes ? '' : terminal.bad('  DOES NOT CLOSE')}`,
  )
  if (!closes) {
    line(
      '',
      `${report.unanswered} unanswered, ${doubled} doubled, ${unexpected} unexpected, ${deadLettersStored} dead letters stored`,
    )
  }
  line('AUC', `${auc.toFixed(4)} (at least ${LEAST_AUC})`)
  line(
    'rate',
    `${Math.round((predictions + deadLetters) / report.seconds)} events/s over ${report.seconds.toFixed(1)} s`,
  )
  line(
    'latency',
    `p50 ${percentile(latenciesMs, 0.5).toFixed(1)} ms, p99 ${percentile(latenciesMs, 0.99).toFixed(1)} ms, publish to prediction`,
  )
  const reasons = Object.entries(report.reasons).map(([reason, count]) => `${reason} ${count}`)
  line('dead letters', reasons.join(', ') || 'none')
  return closes && auc >= LEAST_AUC ? EXIT_CODES.ok : EXIT_CODES.failed
}

export function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1.')
  return Number(text)
}
