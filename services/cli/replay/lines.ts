import type { ReplayPlan } from '../../../shared/operations/replay/plan.ts'
import type { ReplayProgress } from '../../../shared/operations/replay/runner.ts'
import {
  ended,
  type ReplayCounts,
  type ReplayOptions,
  type ReplayTask,
  type TaskPace,
} from '../../../shared/operations/replay/task.ts'
import { showCount, showDuration } from '../../../shared/runtime/quantities.ts'

/** What a replay would do, for people. */
export function planLines(
  plan: ReplayPlan,
  options: Pick<ReplayOptions, 'lane' | 'modelVersion' | 'cap'>,
): string[] {
  const lines = [`${showCount(plan.matching)} dead letters match, ${showCount(plan.sent)} would be sent`]
  for (const [reason, count] of Object.entries(plan.byReason)) lines.push(`  ${showCount(count)}  ${reason}`)
  for (const [why, count] of Object.entries(plan.skipped))
    lines.push(`  ${showCount(count)}  left alone: ${why}`)
  if (plan.deadlinesDropped > 0)
    lines.push(`${showCount(plan.deadlinesDropped)} had a deadline: they are sent without (--keep-deadline)`)
  if (plan.versionsAsked > 0)
    lines.push(
      `${showCount(plan.versionsAsked)} ask for a model version, and will again (--drop-version, --model-version)`,
    )
  lines.push(...patchLines(plan))
  const target = options.modelVersion === undefined ? '' : `, to model version ${options.modelVersion}`
  lines.push(`lane ${options.lane}${target}${options.cap === undefined ? '' : `, at most ${options.cap}`}`)
  return lines
}

/** One payload before and after the patch, and one it does not apply to. */
function patchLines({ patch }: ReplayPlan): string[] {
  if (patch === undefined) return []
  const lines = [
    'a patched event that fails again is a dead letter with the patched payload: export them first',
  ]
  const { applied, refused } = patch
  if (applied !== undefined)
    lines.push(
      `dead letter ${applied.sequence} before`,
      `  ${applied.before}`,
      'and after',
      `  ${applied.after}`,
    )
  if (refused !== undefined) lines.push(`dead letter ${refused.sequence} left alone: ${refused.detail}`)
  return lines
}

/** One line about a replay that runs in this process: its counts, and how it goes now. */
export function progressLine({ task, inFlight, rate, etaMs }: ReplayProgress): string {
  const pace = { eventsPerSecond: rate, underWay: inFlight, ...(etaMs !== undefined && { etaMs }) }
  return `${doneText(task)}; ${paceText(pace)}`
}

/** One line about a task as it is kept. */
export function followLine(task: ReplayTask): string {
  const { state, note, pace } = task
  if (pace !== undefined) return `${doneText(task)}; ${paceText(pace)}`
  return `${doneText(task)}; ${state}${note === '' ? '' : `: ${note}`}`
}

function doneText({ counts, total, options }: ReplayTask): string {
  const goal = Math.min(total, options.cap ?? total)
  return `${showCount(ended(counts))} of ${showCount(goal)}: ${countsText(counts)}`
}

function paceText({ eventsPerSecond, underWay, etaMs }: TaskPace): string {
  const eta = etaMs === undefined ? '' : `, ${showDuration(etaMs)} left`
  return `${underWay} under way, ${showCount(eventsPerSecond)}/s${eta}`
}

/** The counts of a task in words; what none counts for is left out, but predicted and failed again. */
export function countsText({ predicted, failed, superseded, skipped }: ReplayCounts): string {
  const passed = Object.values(skipped).reduce((sum, count) => sum + count, 0)
  const parts = [`${showCount(predicted)} predicted`, `${showCount(failed)} failed again`]
  if (superseded > 0) parts.push(`${showCount(superseded)} answered before`)
  if (passed > 0) parts.push(`${showCount(passed)} left alone`)
  return parts.join(', ')
}

/** A task, whole, for people. */
export function taskLines(task: ReplayTask): string[] {
  const { id, state, note, by, filter, options, total, counts, createdAt, updatedAt, events, pace } = task
  const limit = options.cap === undefined ? '' : `, at most ${options.cap}`
  return [
    `${id}  ${state}${note === '' ? '' : `: ${note}`}`,
    `  started   ${createdAt} by ${by}; last sign ${updatedAt}`,
    `  filter    ${JSON.stringify(filter)}`,
    ...(options.patch === undefined ? [] : [`  patch     ${options.patch}`]),
    `  pace      ${options.rate}/s after ${options.rampSeconds} s, lane ${options.lane}, ${options.inFlight} under way at most${limit}`,
    `  outcomes  ${showCount(ended(counts))} of ${showCount(total)}: ${countsText(counts)}`,
    ...(pace === undefined ? [] : [`  now       ${paceText(pace)}`]),
    ...Object.entries(counts.skipped).map(
      ([why, count]) => `            ${showCount(count)} left alone: ${why}`,
    ),
    ...events.map(({ at, by: who, what }) => `  ${at}  ${who}: ${what}`),
  ]
}
