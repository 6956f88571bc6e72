import type { Logger } from 'pino'
import { reportLines } from '../../../shared/operations/audit/report-lines.ts'
import type { BrokerReach } from '../../../shared/runtime/broker-reach.ts'
import type { Watch } from '../watch/watch.ts'
import type { Audits } from './audits.ts'

export interface ScheduleDeps {
  readonly audits: Pick<Audits, 'runByItself' | 'forget'>
  readonly watch: Pick<Watch, 'isLeader' | 'looked'>
  readonly log: Pick<Logger, 'info' | 'warn'>
  readonly reach: BrokerReach
}

export interface ScheduleOptions {
  /** Between two audits, milliseconds; 0 for none. */
  readonly everyMs: number
  /** Aborted when the service stops: what an audit says then is not told. */
  readonly signal: AbortSignal
}

/** How often it is seen whether one is due, milliseconds: this asks nothing of the broker. */
const TICK_MS = 1_000
/** After one that could not be ended, milliseconds. */
const RETRY_MS = 60_000

/**
 * Audits again and again, first once the watch has looked. Of several control services the one that watches does; one
 * that does not watch any more forgets what its audits found: the other's are newer.
 */
export function auditRegularly(deps: ScheduleDeps, options: ScheduleOptions): { stop(): void } {
  const { audits, watch, reach } = deps
  const { everyMs } = options
  if (everyMs === 0) return { stop: () => undefined }
  let dueAt = 0
  let isRunning = false
  let wasLeader = false
  const tick = async (): Promise<void> => {
    if (wasLeader && !watch.isLeader) audits.forget()
    wasLeader = watch.isLeader
    const hasLooked = watch.isLeader && watch.looked !== undefined
    if (isRunning || !hasLooked || !reach.isReachable || performance.now() < dueAt) return
    isRunning = true
    const hasEnded = await auditOnce(deps, options)
    isRunning = false
    if (!watch.isLeader) audits.forget()
    dueAt = performance.now() + (hasEnded ? everyMs : Math.min(everyMs, RETRY_MS))
  }
  const timer = setInterval(() => void tick(), TICK_MS)
  return { stop: () => clearInterval(timer) }
}

/** @returns false where it has to be tried again */
async function auditOnce({ audits, log }: ScheduleDeps, { signal }: ScheduleOptions): Promise<boolean> {
  try {
    const report = await audits.runByItself()
    if (report === undefined || signal.aborted) return false // an operator asked for one: it may be deep, and long
    const lines = reportLines(report).filter(({ level }) => level !== 'plain')
    for (const { level, text } of lines) log[level === 'good' ? 'info' : 'warn'](`audit: ${text}`)
    return true
  } catch (thrown) {
    if (!signal.aborted) log.warn({ err: thrown }, 'an audit could not be ended; it is tried again')
    return false
  }
}
