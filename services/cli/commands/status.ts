import type { NatsConnection } from '@nats-io/transport-node'
import { Command } from 'commander'
import { paceBetween } from '../../../shared/operations/broker/drain-pace.ts'
import { readOperatorSettings } from '../../../shared/operations/broker/operator-settings.ts'
import { judgeReplicas } from '../../../shared/operations/broker/replicas.ts'
import { type StatusSnapshot, takeSnapshot } from '../../../shared/operations/broker/snapshot.ts'
import type { UnservedModel } from '../../../shared/operations/models/unserved-models.ts'
import { namedAlert } from '../../../shared/operations/watch-record/alert.ts'
import { alignColumns } from '../../../shared/runtime/columns.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { namesOfEnv } from '../../../shared/runtime/names-of-env.ts'
import { pause } from '../../../shared/runtime/pause.ts'
import { withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { type ControlWatch, controlWatchLines, readControlWatch } from '../status/control-watch.ts'
import { gateLines, readShutGates, type ShutGate } from '../status/gates.ts'
import { loopLines, readLoops, type WorkerLoop } from '../status/loops.ts'
import { readModels, unservedTable } from '../status/models.ts'
import { pausedLines, statusTables, troubleLines } from '../status/report.ts'

interface StatusArguments {
  readonly json?: boolean
  readonly watch?: boolean
}

/** Between the two looks that make a pace. */
const SAMPLE_MS = 1_000

export function statusCommand(): Command {
  return new Command('status')
    .summary('how much waits, how fast it is answered, how full the streams are')
    .option('--json', 'one JSON object a line')
    .option('--watch', 'look again every second until Ctrl-C')
    .addHelpText(
      'after',
      helpTail(['pelton status', 'pelton status --watch', 'pelton status --json | jq .backlogSeconds'], {
        failed: 'the broker does not answer, or a stream of Pelton is missing or has no leader',
      }),
    )
    .action((options: StatusArguments) =>
      runCommand((run) => withBroker(run, ({ connection }) => status(run, connection, options)), 'stopping'),
    )
}

async function status(
  run: CommandRun,
  connection: NatsConnection,
  options: StatusArguments,
): Promise<number> {
  const { PELTON_RESEND_HORIZON_MS: resendMs } = readOperatorSettings(run.env)
  let earlier = await takeSnapshot(connection)
  do {
    await pause(SAMPLE_MS, run.signal)
    const snapshot = await takeSnapshot(connection)
    const controlWatch = await readControlWatch(connection, snapshot.at)
    const loops = await readLoops(connection, snapshot.at)
    const models = await readModels(connection)
    const gates = await readShutGates(connection, resendMs)
    show(run, { earlier, snapshot, controlWatch, loops, models, gates }, options)
    earlier = snapshot
  } while (options.watch === true && !run.signal.aborted)
  const isMissing = earlier.streams.some((stream) => stream.isMissing)
  if (isMissing) run.terminal.note('streams are missing: run `pelton provision`, or `pelton up`, once')
  const isUnled = earlier.streams.some((stream) => !stream.isLed)
  return isMissing || isUnled ? EXIT_CODES.failed : EXIT_CODES.ok
}

interface Shown {
  readonly earlier: StatusSnapshot
  readonly snapshot: StatusSnapshot
  readonly controlWatch: ControlWatch | undefined
  readonly loops: readonly WorkerLoop[] | undefined
  readonly models: readonly UnservedModel[] | undefined
  readonly gates: readonly ShutGate[] | undefined
}

function show(
  { terminal, env }: CommandRun,
  { earlier, snapshot, controlWatch, loops, models, gates }: Shown,
  { json = false, watch = false }: StatusArguments,
): void {
  const names = namesOfEnv(env)
  const pace = paceBetween(earlier, snapshot)
  const troubles = judgeReplicas(earlier.groups, snapshot.groups)
  if (json) {
    const { groups: _, ...shown } = snapshot
    terminal.json({
      ...(names.prefix !== undefined && { prefix: names.prefix }),
      ...shown,
      at: new Date(snapshot.at).toISOString(),
      ...pace,
      troubles: troubles.map((trouble) => namedAlert(names, trouble)),
      models,
      gates,
      watch: controlWatch && {
        ...controlWatch,
        alerts: controlWatch.alerts.map((alert) => namedAlert(names, alert)),
      },
      loops,
    })
    return
  }
  const lines = [...statusTables(snapshot, pace, names), ...unservedTable(models, names)].flatMap(
    (table, index) => (index === 0 ? alignColumns(table) : ['', ...alignColumns(table)]),
  )
  const paused = snapshot.consumers.filter(({ pausedUntil }) => pausedUntil !== undefined)
  const told = [...troubles, ...paused.map(({ name }) => ({ kind: 'paused-consumer', about: name }) as const)]
  const sentences = [
    ...troubleLines(troubles),
    ...gateLines(gates),
    ...pausedLines(snapshot),
    ...loopLines(loops),
  ]
  lines.push('', ...[...sentences, ...controlWatchLines(controlWatch, told)].map(names.text))
  if (watch && terminal.isInteractive) {
    terminal.view(lines)
    return
  }
  const [first = '', ...rest] = lines
  terminal.print(terminal.strong(first))
  for (const line of rest) terminal.print(line)
}
