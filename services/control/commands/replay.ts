import { Command, InvalidArgumentError } from 'commander'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import {
  addFilterOptions,
  type FilterArguments,
  operator,
  readFilter,
} from '../dead-letters/filter-options.ts'
import { type OpsStore, withStore } from '../dead-letters/with-store.ts'
import { lane, wholeNumber } from '../option-values.ts'
import { askFor, type Control, createTask, takeTask } from '../replay/control.ts'
import { planReplay } from '../replay/plan.ts'
import { runReplay } from '../replay/runner.ts'
import { countsText, planLines, progressLine, taskLines } from '../replay/show.ts'
import { type KeptTask, listTasks, type ReplayOptions, type ReplayTask, readTask } from '../replay/task.ts'

interface ReplayArguments extends FilterArguments {
  readonly lane: Lane
  readonly rate: number
  readonly ramp: number
  readonly inFlight: number
  readonly cap?: number
  readonly maxFailureShare: number
  readonly modelVersion?: string
  readonly keepDeadline?: boolean
  readonly by?: string
  readonly json?: boolean
}

const PAUSING = 'pausing: waiting for what was sent; Ctrl-C again to force'
const RUN_FAILED =
  'it was paused (by Ctrl-C, by itself, by somebody), cancelled, or the broker does not answer'

export function replayCommand(): Command {
  return new Command('replay')
    .summary('send dead letters again, at a pace, as a task that survives')
    .addCommand(planCommand())
    .addCommand(startCommand())
    .addCommand(resumeCommand())
    .addCommand(haltCommand('pause', 'paused'))
    .addCommand(haltCommand('cancel', 'cancelled'))
    .addCommand(statusCommand())
    .addCommand(listCommand())
}

function addReplayOptions(command: Command): Command {
  return addFilterOptions(command)
    .option('--lane <lane>', 'lane they are sent to', lane, 'low')
    .option('--cap <n>', 'send this many at most', wholeNumber)
    .option('--model-version <version>', 'model version that shall answer')
    .option('--keep-deadline', 'send them with the deadline they had, also where it has passed')
    .option('--json', 'as one JSON object')
}

function planCommand(): Command {
  const examples = ['pelton replay plan --model flight-delay', 'pelton replay plan --reason unknown-model']
  return addReplayOptions(new Command('plan').summary('count what a replay would do; changes nothing'))
    .addHelpText('after', helpTail(examples, { failed: 'the broker does not answer' }))
    .action((options: ReplayArguments) => runCommand((run) => plan(run, options)))
}

function startCommand(): Command {
  const examples = [
    'pelton replay start --reason unknown-model --model flight-delay',
    'pelton replay start --model flight-delay --rate 500 --ramp 60 --lane normal --model-version 3',
  ]
  return addReplayOptions(new Command('start').summary('send dead letters again, and wait for each outcome'))
    .option('--rate <n>', 'events a second', wholeNumber, 100)
    .option('--ramp <seconds>', 'seconds until the full rate', seconds, 10)
    .option('--in-flight <n>', 'events without an outcome at most', wholeNumber, 256)
    .option('--max-failure-share <share>', 'pause when more of the last outcomes failed again', share, 0.5)
    .option('--by <name>', 'who does it, for the record')
    .addHelpText('after', helpTail(examples, { ok: 'every dead letter was handled', failed: RUN_FAILED }))
    .action((options: ReplayArguments) => runCommand((run) => start(run, options), PAUSING))
}

function resumeCommand(): Command {
  return new Command('resume')
    .summary('go on with a paused replay, or one whose process is gone')
    .argument('<task>', 'as `replay list` shows it')
    .option('--rate <n>', 'events a second from now on', wholeNumber)
    .option('--max-failure-share <share>', 'another bound from now on', share)
    .option('--by <name>', 'who does it, for the record')
    .option('--json', 'as one JSON object')
    .addHelpText(
      'after',
      helpTail(['pelton replay resume 20260131T120000-1f2e3d'], { ok: 'done', failed: RUN_FAILED }),
    )
    .action((id: string, options: Partial<ReplayArguments>) =>
      runCommand((run) => resume(run, id, options), PAUSING),
    )
}

function haltCommand(name: 'pause' | 'cancel', state: 'paused' | 'cancelled'): Command {
  return new Command(name)
    .summary(name === 'pause' ? 'pause a replay; what was sent is waited for' : 'end a replay for good')
    .argument('<task>', 'as `replay list` shows it')
    .option('--by <name>', 'who does it, for the record')
    .addHelpText(
      'after',
      helpTail([`pelton replay ${name} 20260131T120000-1f2e3d`], {
        failed: 'there is no such replay, or it is over',
      }),
    )
    .action((id: string, options: { readonly by?: string }) =>
      runCommand((run) => halt(run, id, state, options)),
    )
}

function statusCommand(): Command {
  return new Command('status')
    .summary('show a replay: state, counts, what happened to it')
    .argument('<task>', 'as `replay list` shows it')
    .option('--json', 'as one JSON object')
    .addHelpText(
      'after',
      helpTail(['pelton replay status 20260131T120000-1f2e3d'], { failed: 'there is no such replay' }),
    )
    .action((id: string, options: { readonly json?: boolean }) =>
      runCommand((run) =>
        withStore(run, async ({ keyValue }) => {
          const { value } = await readTask(keyValue, id)
          if (options.json === true) run.terminal.json(value)
          else for (const line of taskLines(value)) run.terminal.print(line)
          return EXIT_CODES.ok
        }),
      ),
    )
}

function listCommand(): Command {
  return new Command('list')
    .summary('list replays, oldest first')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', helpTail(['pelton replay list'], { failed: 'the broker does not answer' }))
    .action((options: { readonly json?: boolean }) => runCommand((run) => list(run, options)))
}

async function plan(run: CommandRun, given: ReplayArguments): Promise<number> {
  return withBroker(run, async ({ connection }) => {
    const options = readOptions(given)
    const found = await planReplay(connection, readFilter(given), options)
    if (given.json === true) run.terminal.json(found)
    else for (const line of planLines(found, options)) run.terminal.print(line)
    return EXIT_CODES.ok
  })
}

async function start(run: CommandRun, given: ReplayArguments): Promise<number> {
  return withStore(run, async (store) => {
    const options = readOptions(given)
    const filter = readFilter(given)
    const found = await planReplay(store.connection, filter, options)
    for (const line of planLines(found, options)) run.terminal.note(line)
    if (found.sent === 0 || run.signal.aborted) {
      run.terminal.note('nothing was sent')
      return run.signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
    }
    const kept = await createTask(control(store, given.by), filter, options, found)
    run.terminal.note(`task ${kept.value.id}`)
    return conclude(run, store, kept, given.json === true)
  })
}

async function resume(run: CommandRun, id: string, given: Partial<ReplayArguments>): Promise<number> {
  const { rate, maxFailureShare, by, json } = given
  return withStore(run, async (store) => {
    const change = {
      ...(rate !== undefined && { rate }),
      ...(maxFailureShare !== undefined && { maxFailureShare }),
    }
    const kept = await takeTask(control(store, by), id, change)
    return conclude(run, store, kept, json === true)
  })
}

async function halt(
  run: CommandRun,
  id: string,
  state: 'paused' | 'cancelled',
  { by }: { readonly by?: string },
): Promise<number> {
  return withStore(run, async (store) => {
    const mine = control(store, by)
    const obeyed = await askFor(mine, id, state)
    const task = obeyed ?? (await work(run, store, await takeTask(mine, id, {}, state)))
    for (const line of taskLines(task)) run.terminal.print(line)
    return task.state === state ? EXIT_CODES.ok : EXIT_CODES.failed
  })
}

async function list(run: CommandRun, options: { readonly json?: boolean }): Promise<number> {
  return withStore(run, async ({ keyValue }) => {
    const tasks = await listTasks(keyValue)
    if (options.json === true) for (const task of tasks) run.terminal.json(task)
    else if (tasks.length === 0) run.terminal.note('no replays')
    else
      run.terminal.table([
        ['TASK', 'STATE', 'BY', 'LAST SIGN', 'OUTCOMES', 'FILTER'],
        ...tasks.map(({ id, state, by, updatedAt, counts, filter }) => [
          id,
          state,
          by,
          updatedAt,
          countsText(counts),
          JSON.stringify(filter),
        ]),
      ])
    return EXIT_CODES.ok
  })
}

async function conclude(run: CommandRun, store: OpsStore, kept: KeptTask, json: boolean): Promise<number> {
  const task = await work(run, store, kept)
  if (json) run.terminal.json(task)
  else for (const line of taskLines(task)) run.terminal.print(line)
  if (task.state === 'paused') run.terminal.note(`go on with: pelton replay resume ${task.id}`)
  return task.state === 'done' ? EXIT_CODES.ok : EXIT_CODES.failed
}

function work({ signal, terminal }: CommandRun, store: OpsStore, kept: KeptTask): Promise<ReplayTask> {
  const onProgress = (progress: Parameters<typeof progressLine>[0]): void =>
    terminal.progress(progressLine(progress))
  return runReplay({ ...store, now: () => new Date(), signal, onProgress }, kept)
}

function control({ keyValue }: OpsStore, by: string | undefined): Control {
  return { keyValue, by: operator(by), now: () => new Date() }
}

function readOptions(given: ReplayArguments): ReplayOptions {
  const { lane: to, rate, ramp, inFlight, cap, maxFailureShare, modelVersion, keepDeadline } = given
  return {
    lane: to,
    rate,
    rampSeconds: ramp,
    inFlight,
    maxFailureShare,
    keepDeadline: keepDeadline === true,
    ...(cap !== undefined && { cap }),
    ...(modelVersion !== undefined && { modelVersion }),
  }
}

function seconds(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('It must be a whole number of seconds from 0.')
  return Number(text)
}

function share(text: string): number {
  if (!/^(?:0(?:\.\d{1,6})?|1(?:\.0{1,6})?)$/.test(text))
    throw new InvalidArgumentError('It must be a share from 0 to 1, such as 0.5.')
  return Number(text)
}
