import { Command } from 'commander'
import { judgeExpiries } from '../../../shared/operations/broker/credentials.ts'
import { checkDurability } from '../../../shared/operations/broker/durability.ts'
import { examine, type Finding, fail, namedFinding } from '../../../shared/operations/broker/finding.ts'
import { readOperatorSettings } from '../../../shared/operations/broker/operator-settings.ts'
import { findRunningBroker, type UsedBroker } from '../../../shared/operations/broker/running-broker.ts'
import { securityOptions } from '../../../shared/runtime/config.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { namesOfEnv } from '../../../shared/runtime/names-of-env.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { readExpiries } from '../../../shared/sdk/jetstream/expiry.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { checkAccount, checkClock, checkResults } from '../doctor/broker-checks.ts'
import { checkInFlight } from '../doctor/in-flight-check.ts'
import { checkModelsFolder, checkModelsServed } from '../doctor/models-check.ts'
import { checkRemade } from '../doctor/remade-check.ts'
import { checkReplicas } from '../doctor/replicas-check.ts'
import { checkReserve } from '../doctor/reserve-check.ts'
import { checkRights } from '../doctor/rights-check.ts'
import { checkConsumers, checkOrphans, checkPools, checkStreams } from '../doctor/stream-checks.ts'
import { checkWatch } from '../doctor/watch-check.ts'
import { wholeNumber } from '../option-values.ts'
import { addSettingOptions, withOptions } from '../setting-options.ts'
import type { Terminal } from '../terminal.ts'
import { readTopology, TOPOLOGY_SETTINGS } from '../topology-settings.ts'

interface DoctorArguments extends Readonly<Record<string, unknown>> {
  readonly pool: readonly string[]
  readonly models?: string
  readonly json?: boolean
  /** Results a second; measured without it. */
  readonly rate?: number
}

export function doctorCommand(): Command {
  const command = new Command('doctor')
    .summary('check broker, streams, consumers, rights, clocks and models, and say how to mend each')
    .description(
      'Changes nothing. Give it the same settings as `pelton provision`, to compare with what is there.',
    )
    .option('--pool <name...>', 'pools whose consumers must be there', ['default'])
    .option('--models <folder>', 'models folder to look at (PELTON_MODELS)')
    .option(
      '--rate <n>',
      'results a second that RESULTS is to be large enough for (default: measured)',
      wholeNumber,
    )
    .option('--json', 'one JSON object a line')
  return addSettingOptions(command, TOPOLOGY_SETTINGS)
    .addHelpText(
      'after',
      helpTail(['pelton doctor', 'pelton doctor --pool default gpu --models ./models --json'], {
        ok: 'nothing has to be mended; warnings may be',
        failed: 'at least one check failed',
      }),
    )
    .action((options: DoctorArguments) => runCommand((run) => doctor(run, options)))
}

async function doctor(run: CommandRun, options: DoctorArguments): Promise<number> {
  const topology = readTopology(withOptions(run.env, TOPOLOGY_SETTINGS, options))
  const settings = readOperatorSettings(run.env)
  const { PELTON_DURABILITY: durability, PELTON_RESEND_HORIZON_MS: resendMs } = settings
  const asked = { resendMs, perSecond: options.rate, signal: run.signal }
  const counts = { ok: 0, warn: 0, fail: 0, unknown: 0 }
  const names = namesOfEnv(run.env)
  const report = (findings: readonly Finding[]): void => {
    for (const finding of findings.map((each) => namedFinding(names, each))) {
      counts[finding.level]++
      if (options.json === true) run.terminal.json(finding)
      else print(run.terminal, finding)
    }
  }
  report(judgeExpiries(readExpiries(securityOptions(settings)), Date.now()))
  const broker = await findBroker(run, report)
  if (broker !== undefined) {
    const { connection } = broker
    try {
      report(await examine('account', () => checkAccount(connection, topology.replicas)))
      report(await examine('rights', () => checkRights(connection)))
      report(await examine('servers', () => checkReplicas(connection, run.signal)))
      report(await examine('streams', () => checkStreams(connection, topology)))
      report(await examine('reserve', () => checkReserve(connection)))
      report(await examine(STREAMS.features, () => checkRemade(connection)))
      report(await examine('consumers', () => checkConsumers(connection, topology, options.pool)))
      report(await examine('pools', () => checkPools(connection)))
      report(await examine('in flight', () => checkInFlight(connection, run.env)))
      report(await examine('models served', () => checkModelsServed(connection)))
      report(await examine('orphans', () => checkOrphans(connection, run.signal)))
      report(await examine('durability', () => checkDurability(broker, durability)))
      report(await examine('results', () => checkResults(connection, topology, asked)))
      report(await examine('clock', () => checkClock(connection)))
      report(await examine('watch', () => checkWatch(connection)))
    } finally {
      await broker.close()
    }
  }
  const models = options.models ?? run.env.PELTON_MODELS
  if (models) report(await examine('models', () => checkModelsFolder(models)))
  if (options.json !== true)
    run.terminal.print(
      `${counts.ok} ok, ${counts.warn} to look at, ${counts.unknown} unknown, ${counts.fail} to mend`,
    )
  return counts.fail === 0 ? EXIT_CODES.ok : EXIT_CODES.failed
}

/** No broker is a finding like any other; settings that cannot be read are not. */
async function findBroker(
  run: CommandRun,
  report: (findings: readonly Finding[]) => void,
): Promise<UsedBroker | undefined> {
  try {
    return await findRunningBroker(run.env, run.terminal.note)
  } catch (thrown) {
    if (!(thrown instanceof PeltonError) || thrown.code === 'invalid-configuration') throw thrown
    report([
      fail(
        'broker',
        thrown.description,
        thrown.details.remedy ?? 'Start `pelton up`, or set PELTON_NATS_URL.',
      ),
    ])
    return undefined
  }
}

function print(terminal: Terminal, { level, check, text, remedy }: Finding): void {
  const shown = { ok: terminal.good, warn: terminal.warn, unknown: terminal.warn, fail: terminal.bad }
  terminal.print(`${shown[level](level.padEnd(7))}  ${check}: ${text}`)
  if (remedy !== undefined) terminal.print(terminal.faint(`         ${remedy}`))
}
