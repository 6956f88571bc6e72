import { Command, InvalidArgumentError } from 'commander'
import type { DeadLetterFilter } from '../../../shared/operations/dead-letters/filter.ts'
import * as replays from '../../../shared/operations/replay/replays.ts'
import { listTasks, type ReplayOptions, type ReplayTask } from '../../../shared/operations/replay/task.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { withBroker } from '../broker.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import {
  addFilterOptions,
  type FilterArguments,
  operator,
  readFilter,
} from '../dead-letters/filter-options.ts'
import { withStore } from '../dead-letters/with-store.ts'
import { lane, wholeNumber } from '../option-values.ts'
import { countsText, planLines, progressLine, taskLines } from '../replay/lines.ts'
import { readPatchOption } from '../replay/patch-option.ts'
import { ofTask, statusCommand } from '../replay/status-command.ts'

interface ReplayArguments extends FilterArguments {
  readonly lane: Lane
  readonly rate: number
  readonly ramp: number
  readonly inFlight: number
  readonly cap?: number
  readonly maxFailureShare: number
  readonly modelVersion?: string
  readonly keepDeadline?: boolean
  readonly dropVersion?: boolean
  readonly superseded?: boolean
  readonly patch?: string
  readonly all?: boolean
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
    .option('--lane <lane>', 'lane they are sent to', lane, replays.DEFAULT_OPTIONS.lane)
    .option('--cap <n>', 'send this many at most', wholeNumber)
    .option('--model-version <version>', 'model version that shall answer')
    .option('--drop-version', 'do not ask for the model version their producers asked for')
    .option('--keep-deadline', 'send them with the deadline they had, also where it has passed')
    .option('--superseded', 'also those whose caller asked again since: it has another event for it')
    .option('--patch <file>', 'JSON Patch (RFC 6902) for each payload: a file, or the JSON itself')
    .option('--json', 'as one JSON object')
}

function planCommand(): Command {
  const examples = [
    'pelton replay plan --model flight-delay',
    'pelton replay plan --reason schema-mismatch --patch mend.json',
  ]
  return addReplayOptions(new Command('plan').summary('count what a replay would do; changes nothing'))
    .addHelpText('after', helpTail(examples, { failed: 'the broker does not answer' }))
    .action((options: ReplayArguments) => runCommand((run) => plan(run, options)))
}

function startCommand(): Command {
  const examples = [
    'pelton replay start --reason unknown-model --model flight-delay',
    'pelton replay start --model flight-delay --rate 500 --ramp 60 --lane normal --model-version 3',
    `pelton replay start --reason schema-mismatch --patch '[{"op":"remove","path":"/features/extra"}]'`,
  ]
  return addReplayOptions(new Command('start').summary('send dead letters again, and wait for each outcome'))
    .option('--all', 'every dead letter there is; else one of the conditions above is needed')
    .option('--rate <n>', 'events a second', wholeNumber, replays.DEFAULT_OPTIONS.rate)
    .option('--ramp <seconds>', 'seconds until the full rate', seconds, replays.DEFAULT_OPTIONS.rampSeconds)
    .option(
      '--in-flight <n>',
      'events without an outcome at most',
      wholeNumber,
      replays.DEFAULT_OPTIONS.inFlight,
    )
    .option(
      '--max-failure-share <share>',
      'pause when more of the last outcomes failed again',
      share,
      replays.DEFAULT_OPTIONS.maxFailureShare,
    )
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
      helpTail(['pelton replay resume 20260131T120000-1f2e3d'], {
        ok: 'done',
        failed: `there is no such replay, or ${RUN_FAILED}`,
      }),
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

function listCommand(): Command {
  return new Command('list')
    .summary('list replays, oldest first')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', helpTail(['pelton replay list'], { failed: 'the broker does not answer' }))
    .action((options: { readonly json?: boolean }) => runCommand((run) => list(run, options)))
}

async function plan(run: CommandRun, given: ReplayArguments): Promise<number> {
  const options = await readOptions(given)
  return withBroker(run, async ({ connection }) => {
    const found = await replays.plan({ connection }, { filter: readFilter(given), options })
    if (given.json === true) run.terminal.json(found)
    else for (const line of planLines(found, options)) run.terminal.print(line)
    return EXIT_CODES.ok
  })
}

async function start(run: CommandRun, given: ReplayArguments): Promise<number> {
  const filter = chosen(given)
  const options = await readOptions(given)
  return withStore(run, async (store) => {
    const { running } = await replays.start(
      store,
      { filter, options },
      {
        ...replayRun(run, given.by),
        onPlan: (found) => {
          for (const line of planLines(found, options)) run.terminal.note(line)
        },
      },
    )
    if (running === undefined) {
      run.terminal.note('nothing was sent')
      return run.signal.aborted ? EXIT_CODES.failed : EXIT_CODES.ok
    }
    run.terminal.note(`task ${running.task.id}`)
    return conclude(run, await running.ended, given.json === true)
  })
}

/** All of them only when it was said so: a condition that was forgotten must not send everything again. */
function chosen(given: ReplayArguments): DeadLetterFilter {
  const filter = readFilter(given)
  const isAll = given.all === true
  if (isAll !== Object.keys(filter).length > 0) return filter
  const what = isAll ? 'all are chosen, and some by a condition' : 'nothing is chosen'
  throw new PeltonError('invalid-argument', what, {
    field: '--all',
    value: isAll ? JSON.stringify(filter) : 'not given',
    remedy: 'Give a condition such as --model or --reason, or --all for every dead letter there is.',
  })
}

async function resume(run: CommandRun, id: string, given: Partial<ReplayArguments>): Promise<number> {
  const { rate, maxFailureShare, by, json } = given
  return ofTask(run, async (store) => {
    const change = {
      ...(rate !== undefined && { rate }),
      ...(maxFailureShare !== undefined && { maxFailureShare }),
    }
    const running = await replays.resume(store, id, { ...replayRun(run, by), change })
    return conclude(run, await running.ended, json === true)
  })
}

async function halt(
  run: CommandRun,
  id: string,
  state: 'paused' | 'cancelled',
  { by }: { readonly by?: string },
): Promise<number> {
  return ofTask(run, async (store) => {
    const task = await replays.halt(store, id, state, replayRun(run, by))
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

function conclude({ terminal }: CommandRun, task: ReplayTask, json: boolean): number {
  if (json) terminal.json(task)
  else for (const line of taskLines(task)) terminal.print(line)
  if (task.state === 'paused') terminal.note(`go on with: pelton replay resume ${task.id}`)
  return task.state === 'done' ? EXIT_CODES.ok : EXIT_CODES.failed
}

function replayRun({ signal, terminal }: CommandRun, by: string | undefined): replays.ReplayRun {
  return {
    by: operator(by),
    signal,
    onProgress: (progress) => terminal.progress(progressLine(progress)),
  }
}

async function readOptions(given: ReplayArguments): Promise<ReplayOptions> {
  const {
    lane: to,
    rate,
    ramp,
    inFlight,
    cap,
    maxFailureShare,
    modelVersion,
    keepDeadline,
    dropVersion,
    superseded,
  } = given
  const patch = given.patch === undefined ? undefined : await readPatchOption(given.patch)
  return {
    ...replays.DEFAULT_OPTIONS,
    lane: to,
    ...(rate !== undefined && { rate, rampSeconds: ramp, inFlight, maxFailureShare }),
    keepDeadline: keepDeadline === true,
    ...(dropVersion === true && { dropVersion }),
    ...(superseded === true && { superseded }),
    ...(cap !== undefined && { cap }),
    ...(modelVersion !== undefined && { modelVersion }),
    ...(patch !== undefined && { patch }),
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
