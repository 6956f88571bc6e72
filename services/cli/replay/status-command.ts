import { Command } from 'commander'
import type { OpsStore } from '../../../shared/operations/records/store.ts'
import { SILENCE_MS } from '../../../shared/operations/replay/taking.ts'
import { isNoSuchTask, isOver, type KeptTask, readTask } from '../../../shared/operations/replay/task.ts'
import { EXIT_CODES } from '../../../shared/runtime/lifecycle.ts'
import { pause } from '../../../shared/runtime/pause.ts'
import { type CommandRun, helpTail, runCommand } from '../command-run.ts'
import { withStore } from '../dead-letters/with-store.ts'
import { followLine, taskLines } from './lines.ts'

interface StatusArguments {
  readonly json?: boolean
  readonly watch?: boolean
}

/** A running task is written every second. */
const LOOK_MS = 1_000

export function statusCommand(): Command {
  return new Command('status')
    .summary('show a replay: state, counts, pace, what happened to it')
    .argument('<task>', 'as `replay list` shows it')
    .option('--watch', 'follow it until it is over, wherever it runs')
    .option('--json', 'as one JSON object; with --watch one each time it changes')
    .addHelpText(
      'after',
      helpTail(
        [
          'pelton replay status 20260131T120000-1f2e3d',
          'pelton replay status 20260131T120000-1f2e3d --watch',
        ],
        {
          ok: 'done; with --watch also ended by Ctrl-C',
          failed: 'there is no such replay; with --watch also: it was cancelled',
        },
      ),
    )
    .action((id: string, options: StatusArguments) =>
      runCommand((run) => ofTask(run, ({ keyValue }) => status(run, keyValue, id, options)), 'stopping'),
    )
}

/** Does something with a task. One that is not there is an answer, and no mistake in the arguments. */
export function ofTask(run: CommandRun, work: (store: OpsStore) => Promise<number>): Promise<number> {
  return withStore(run, work).catch((thrown: unknown) => {
    if (!isNoSuchTask(thrown)) throw thrown
    run.terminal.note(`pelton: ${thrown.message}`)
    return EXIT_CODES.failed
  })
}

async function status(
  run: CommandRun,
  keyValue: OpsStore['keyValue'],
  id: string,
  { json = false, watch = false }: StatusArguments,
): Promise<number> {
  const { terminal, signal } = run
  let kept = await readTask(keyValue, id)
  if (watch) {
    const show = createView(run, json)
    for (show(kept); !isOver(kept.value) && !signal.aborted; show(kept)) {
      await pause(LOOK_MS, signal)
      kept = await readTask(keyValue, id)
    }
  }
  const { value } = kept
  if (json && !watch) terminal.json(value)
  if (!json) for (const line of taskLines(value)) terminal.print(line)
  return watch && value.state === 'cancelled' ? EXIT_CODES.failed : EXIT_CODES.ok
}

/** Shows a task again and again; one that says it runs and is silent has lost its process. */
function createView({ terminal }: CommandRun, json: boolean): (kept: KeptTask) => void {
  let revision = 0
  let changedAt = performance.now()
  return ({ value, revision: present }) => {
    const isNew = present !== revision
    if (isNew) changedAt = performance.now()
    revision = present
    if (json) {
      if (isNew) terminal.json(value)
      return
    }
    const isSilent = value.state === 'running' && performance.now() - changedAt > SILENCE_MS
    const silence = isSilent ? [`its process is gone: pelton replay resume ${value.id}`] : []
    if (terminal.isInteractive) terminal.view([...taskLines(value), ...silence])
    else terminal.progress([followLine(value), ...silence].join('; '))
  }
}
