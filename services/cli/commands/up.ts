import { resolve } from 'node:path'
import { Command } from 'commander'
import { brokerDataDir, marksFolder } from '../../../shared/operations/broker/operator-settings.ts'
import type { UsedBroker } from '../../../shared/operations/broker/running-broker.ts'
import { keepMarks } from '../../../shared/operations/watch-record/keep-marks.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import type { Supervisor } from '../../../shared/runtime/supervisor.ts'
import { messageOf, PeltonError } from '../../../shared/sdk/errors.ts'
import { provision } from '../../../shared/sdk/jetstream/provision.ts'
import { DEMO_MODEL, DEMO_MODELS, EXAMPLE_FLIGHT } from '../../demo/models.ts'
import { useBroker } from '../broker.ts'
import { type CommandRun, helpTail, programName, runCommand } from '../command-run.ts'
import { portNumber, wholeNumber } from '../option-values.ts'
import { addSettingOptions, withOptions } from '../setting-options.ts'
import { superviseControl } from '../supervise-control.ts'
import { superviseGateway } from '../supervise-gateway.ts'
import { readTopology, TOPOLOGY_SETTINGS } from '../topology-settings.ts'
import { superviseWorkers } from '../workers.ts'

/** Between two durable marks of `pelton up --no-control`, milliseconds. */
const MARKS_MS = 5_000

interface UpArguments extends Readonly<Record<string, unknown>> {
  readonly workers: number
  readonly models?: string
  readonly data?: string
  readonly port?: number
  /** False with `--no-control`. */
  readonly control: boolean
  /** False with `--no-gateway`. */
  readonly gateway: boolean
}

export function upCommand(): Command {
  const command = new Command('up')
    .summary('run Pelton on this machine: broker, streams and supervised workers')
    .description(
      'Runs until Ctrl-C: an embedded broker unless PELTON_NATS_URL names one, the streams, worker processes and the\n' +
        'control service and the gateway, which are started again when they end. What was accepted is kept in the data\n' +
        'folder until the next start. Other pelton commands on this machine find the broker by themselves.',
    )
    .option('--workers <n>', 'worker processes', wholeNumber, 1)
    .option(
      '--models <folder>',
      'folder of models: <name>/<version>/model.onnx (PELTON_MODELS; default: the demo model)',
    )
    .option('--data <folder>', 'folder of the embedded broker (PELTON_DATA)')
    .option('--port <n>', 'port of the embedded broker (default: 4222 where it is free)', portNumber)
    .option('--no-control', 'without the control service: no watch, no HTTP API')
    .option('--no-gateway', 'without the gateway: no requests over HTTP')
  return addSettingOptions(command, TOPOLOGY_SETTINGS)
    .addHelpText(
      'after',
      helpTail(
        ['pelton up', 'pelton up --workers 2 --models ./models', 'pelton up --data /tmp/try --port 4333'],
        {
          ok: 'stopped by Ctrl-C: every event held was finished or given back',
          failed: 'the broker cannot run, or no worker can use its settings',
        },
      ),
    )
    .action((options: UpArguments) =>
      runCommand(
        (run) => up(run, options),
        'stopping: workers finish what they hold; Ctrl-C again to force',
        EXIT_CODES.ok,
      ),
    )
}

async function up(run: CommandRun, options: UpArguments): Promise<number> {
  const { terminal, env } = run
  const topology = readTopology(withOptions(env, TOPOLOGY_SETTINGS, options))
  const models = resolve(options.models ?? (env.PELTON_MODELS || DEMO_MODELS))
  if (models === DEMO_MODELS)
    terminal.note('models: those of the demo; name yours with --models or PELTON_MODELS')
  const end = createEnd(run.signal)
  const dataDir = options.data ?? brokerDataDir(env)
  const broker = await useBroker(env, {
    note: terminal.note,
    signal: run.signal,
    dataDir,
    ...(options.port !== undefined && { port: options.port }),
    onLost: end.fail,
  })
  try {
    await provision(broker.connection, { topology, note: terminal.note, signal: run.signal })
    const gateway = options.gateway ? await startGateway(run, broker) : undefined
    const door = (): string | undefined => gateway?.open()
    const fleet = startFleet(run, broker, { count: options.workers, models, door, onGivenUp: end.fail })
    const control = await startControl(run, broker, { dataDir, isWanted: options.control })
    // Requests under way need the workers.
    const stop = async (): Promise<unknown> => {
      await gateway?.supervisor.stop()
      return Promise.all([fleet.stop(), control.stop()])
    }
    run.onForced(() => void stop()) // the second call: what still drains is killed
    try {
      await end.reached
    } finally {
      await stop()
    }
    terminal.note('stopped')
    return EXIT_CODES.ok
  } finally {
    await broker.close()
  }
}

/** Starts the control service, which also writes durable marks; where it is not wanted, they are written here. */
async function startControl(
  { terminal: { note }, env }: CommandRun,
  broker: UsedBroker,
  { dataDir, isWanted }: { readonly dataDir: string; readonly isWanted: boolean },
): Promise<{ stop(): Promise<unknown> }> {
  const folder = marksFolder(env, dataDir)
  if (isWanted) return superviseControl({ env: broker.env, dataDir, marksFolder: folder, note })
  return keepMarks({
    ...{ connection: broker.connection, folder, everyMs: MARKS_MS },
    onTrouble: (thrown) => note(`durable marks cannot be written to ${folder}: ${messageOf(thrown)}`),
    onWritten: () => note(`durable marks are written again to ${folder}`),
  })
}

/** Where the gateway listens, once it does. */
interface Door {
  readonly supervisor: Supervisor
  /** Undefined before, and where requests need a key. */
  readonly open: () => string | undefined
}

async function startGateway({ terminal }: CommandRun, broker: UsedBroker): Promise<Door> {
  let open: string | undefined
  const supervisor = await superviseGateway({
    env: broker.env,
    note: terminal.note,
    onServing: (address, needsKeys) => {
      terminal.note(`gateway: ${address}${needsKeys ? ', with a key of `pelton keys create`' : ''}`)
      open = needsKeys ? undefined : address
    },
  })
  return { supervisor, open: () => open }
}

interface FleetArguments {
  readonly count: number
  readonly models: string
  /** Where anybody may ask over HTTP. */
  readonly door: () => string | undefined
  readonly onGivenUp: (error: PeltonError) => void
}

/** Starts the workers; once all take events, says how to send one. */
function startFleet({ terminal, env }: CommandRun, broker: UsedBroker, fleet: FleetArguments): Supervisor {
  const ready = new Set<number>()
  return superviseWorkers({
    count: fleet.count,
    models: fleet.models,
    env: broker.env,
    note: terminal.note,
    onReady: (index) => {
      if (ready.has(index)) return terminal.note(`worker ${index + 1} takes events again`)
      ready.add(index)
      if (ready.size < fleet.count) return
      terminal.note(
        `${fleet.count === 1 ? 'the worker takes' : `${fleet.count} workers take`} events; Ctrl-C to stop`,
      )
      terminal.print(`PELTON_NATS_URL=${broker.url}`)
      if (env.PELTON_PREFIX) terminal.print(`PELTON_PREFIX=${env.PELTON_PREFIX}`)
      if (fleet.models !== DEMO_MODELS) return
      terminal.note('try it from another terminal:')
      terminal.note(`  ${EXAMPLE_LINE} | ${programName(env)} publish ${DEMO_MODEL}`)
      const address = fleet.door()
      if (address !== undefined)
        terminal.note(`  curl ${address}/v2/models/${DEMO_MODEL}/infer -d '${EXAMPLE_BODY}'`)
    },
    onGivenUp: () =>
      fleet.onGivenUp(
        new PeltonError('invalid-configuration', 'no worker can use its settings', {
          remedy: 'See the lines above; docs/configuration.md lists every setting.',
        }),
      ),
  })
}

/** One flight of the demo, as a person would send it. */
const EXAMPLE_LINE = `echo '${JSON.stringify({ id: 'flight-1', features: EXAMPLE_FLIGHT })}'`

/** The same, as it is asked over HTTP. */
const EXAMPLE_BODY = JSON.stringify({ features: EXAMPLE_FLIGHT })

/** Settles when the command is to end: at Ctrl-C, or with the error that ends it. */
function createEnd(signal: AbortSignal): { readonly reached: Promise<void>; fail(error: PeltonError): void } {
  let fail: (error: PeltonError) => void = () => undefined
  const reached = new Promise<void>((resolveEnd, reject) => {
    fail = reject
    if (signal.aborted) resolveEnd()
    else signal.addEventListener('abort', () => resolveEnd(), { once: true })
  })
  reached.catch(() => undefined) // it may fail before the command waits for it
  return { reached, fail: (error) => fail(error) }
}
