import { Command } from 'commander'
import { audit } from '../../../shared/operations/audit/audit.ts'
import { marksFolder } from '../../../shared/operations/broker/operator-settings.ts'
import type { UsedBroker } from '../../../shared/operations/broker/running-broker.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import { provision } from '../../../shared/sdk/jetstream/provision.ts'
import { areaUnderCurve } from '../../demo/auc.ts'
import { type DemoProgress, type DemoReport, runDemo } from '../../demo/demo.ts'
import { loadFlights } from '../../demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../demo/models.ts'
import { percentile } from '../../demo/tally.ts'
import { useBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { createDemoView } from '../demo-view.ts'
import { wholeNumber } from '../option-values.ts'
import type { Terminal } from '../terminal.ts'
import { superviseWorkers } from '../workers.ts'
import { printReport } from './audit.ts'

/** The least area under the curve the demo accepts: what a model without recent delays does not reach. */
const LEAST_AUC = 0.72

/** What may wait in the embedded broker. */
const DEMO_BYTES = 512 * 1024 ** 2

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
    .addHelpText(
      'after',
      helpTail(['pelton demo', 'pelton demo --flights 200000 --workers 2'], {
        ok: 'every event is accounted for by the audit, and the predictions are as good as they have to be',
        failed:
          'a count does not close, the audit finds an event without outcome, or the predictions are worse than they have to be',
      }),
    )
    .action((options: DemoArguments) =>
      runCommand(
        (run) => demo(run, options),
        'stopping: waiting for the answers to what was sent; Ctrl-C again to force',
      ),
    )
}

async function demo(run: CommandRun, options: DemoArguments): Promise<number> {
  const { terminal, env, signal } = run
  const broker = await useBroker(env, { note: terminal.note, signal })
  try {
    const isOurs = !env.PELTON_NATS_URL
    // The broker reserves what FEATURES may hold: a laptop's disk may not have the gigabytes of the default.
    await provision(broker.connection, {
      signal,
      ...(isOurs && { topology: { featuresMaxBytes: DEMO_BYTES } }),
    })
    const fleet = superviseWorkers({
      count: options.workers,
      models: DEMO_MODELS,
      env: broker.env,
      note: terminal.note,
    })
    run.onForced(() => void fleet.stop()) // the second call: what still drains is killed
    const progress = await createProgress(run, broker, options)
    let code: number
    try {
      const report = await runDemo({
        connection: broker.connection,
        count: options.flights,
        maxUnanswered: options.unanswered,
        signal,
        onProgress: progress.show,
      })
      code = summarize(report, terminal)
    } finally {
      progress.close()
      await fleet.stop()
    }
    // A broker that was there before may hold millions of results.
    const outside = { marksFolder: marksFolder(env), monitorUrls: broker.monitorUrls }
    const { report } = await audit(broker.connection, { full: isOurs, deep: isOurs, signal, outside })
    const { cannotKnow, ...told } = report
    // A broker that is removed at the end of the demo has nothing to forget.
    const shown = isOurs || cannotKnow === undefined ? told : report
    printReport(terminal, shown, namesOf(broker.connection))
    return report.clean ? code : EXIT_CODES.failed
  } finally {
    await broker.close()
  }
}

const REDRAW_MS = 100

/** A live view where a person watches, else a line now and then. */
async function createProgress({ terminal }: CommandRun, { connection }: UsedBroker, options: DemoArguments) {
  const line = ({ sent, answered, total }: DemoProgress): void =>
    terminal.progress(`flights: ${sent} of ${total} sent, ${answered} answered`)
  if (!terminal.isInteractive) return { show: line, close: () => undefined }
  const flights = await loadFlights({ count: options.flights })
  const late = new Map(flights.map((flight) => [flight.id, flight.late]))
  const view = createDemoView(connection, DEMO_MODEL, late)
  let drawnAt = Number.NEGATIVE_INFINITY
  const show = (progress: DemoProgress): void => {
    if (performance.now() - drawnAt < REDRAW_MS) return
    drawnAt = performance.now()
    terminal.view(view.lines(progress))
  }
  return { show, close: view.close }
}

/** Prints what came of the run. @returns the exit code: 0 only if every count closes and the model kept its quality */
function summarize(report: DemoReport, terminal: Terminal): number {
  const { sent, predictions, deadLetters, doubled, unexpected, deadLettersStored, latenciesMs } = report
  const closes =
    sent === predictions + deadLetters &&
    doubled === 0 &&
    unexpected === 0 &&
    deadLetters === deadLettersStored
  const auc = canRank(report) ? areaUnderCurve(report.scores, report.late) : Number.NaN
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

/** A demo that was stopped early may have seen flights of one kind only. */
function canRank({ late }: DemoReport): boolean {
  return late.includes(true) && late.includes(false)
}
