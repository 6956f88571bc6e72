import { z } from 'zod'
import { ALERT_KINDS } from '../../../shared/operations/watch-record/alert.ts'

/** What the API answers, for its document alone. Where an answer has more than is told here, it is of no form. */

const time = z.iso.datetime().describe('RFC 3339')
const counts = z.record(z.string(), z.int())
const ranges = z.array(z.unknown())

const alert = z
  .object({
    kind: z.enum(ALERT_KINDS),
    about: z.string().describe('A consumer, a pool, a stream: with `kind` it identifies the alert'),
    text: z.string(),
    remedy: z.string(),
    count: z.int().describe('Events concerned; 0 where none are yet'),
    since: time,
  })
  .meta({ id: 'Alert' })

export const status = z
  .looseObject({
    at: time,
    streams: z.array(z.looseObject({ name: z.string(), messages: z.int(), bytes: z.int() })),
    consumers: z.array(
      z.looseObject({ stream: z.string(), name: z.string(), pending: z.int(), inFlight: z.int() }),
    ),
    backlog: z.int().describe('Events that wait or are in flight, those due for a retry included'),
    retriesScheduled: z.int(),
    deadLetters: z.looseObject({ total: z.int(), byModel: counts, more: z.unknown().optional() }),
    resultsPerSecond: z.number().optional(),
    backlogSeconds: z.number().optional(),
    troubles: z.array(
      z.looseObject({ kind: z.string(), about: z.string(), text: z.string(), remedy: z.string() }),
    ),
    alerts: z.int().describe('How many there are: /v1/watch tells them'),
    replaysHere: z.int(),
  })
  .meta({ id: 'Status' })

export const watch = z
  .object({
    watcher: z.string().describe('The control service that watches'),
    isThisOne: z.boolean(),
    lookedAt: z.string().describe('RFC 3339; empty before the first look'),
    everyMs: z.number(),
    alerts: z.array(alert),
    acts: z.array(z.looseObject({ what: z.string(), at: time, by: z.string() })),
    position: z.object({ results: z.int(), deadLetters: z.int() }),
    openNotices: z.int(),
  })
  .meta({ id: 'Watch' })

export const auditReport = z
  .looseObject({
    clean: z.boolean(),
    epoch: z.string(),
    lastSequence: z.int(),
    sequences: z.int(),
    waiting: z.int(),
    lost: ranges,
    unproven: ranges,
    doubts: z.array(z.string()),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'AuditReport' })
export const lastAudit = z.object({ endedAt: time, report: auditReport }).meta({ id: 'LastAudit' })

const letterFields = {
  sequence: z.int().describe('In DEADLETTERS'),
  token: z.string(),
  model: z.string(),
  reason: z.string(),
  description: z.string(),
  stage: z.string().optional(),
  askedVersion: z.string().optional(),
  failedVersion: z.string().optional(),
  attempt: z.number(),
  failures: z.int(),
  replay: z.string().optional(),
  failedAt: z.string().optional(),
  firstSeen: z.string().optional(),
  id: z.string().optional(),
  source: z.string().optional(),
  traceId: z.string().optional(),
  sizeBytes: z.int(),
}
export const deadLetterPage = z
  .object({
    deadLetters: z.array(z.object(letterFields).meta({ id: 'DeadLetterEntry' })),
    next: z.int().optional().describe('`cursor` of the next page'),
  })
  .meta({ id: 'DeadLetterPage' })
export const deadLetter = z
  .looseObject({
    ...letterFields,
    storedAt: z.string(),
    history: z.array(z.looseObject({ at: z.string(), reason: z.string(), attempt: z.number() })),
    headers: z.record(z.string(), z.string()),
    payload: z.unknown(),
  })
  .meta({ id: 'DeadLetter' })
export const deadLetterCounts = z
  .object({
    total: z.int(),
    groups: z.array(
      z.object({
        ...{ model: z.string(), reason: z.string(), description: z.string(), count: z.int() },
        ...{ first: z.string(), last: z.string() },
      }),
    ),
    more: z.unknown().optional().describe('How much is left out'),
  })
  .meta({ id: 'DeadLetterCounts' })
export const history = z
  .object({
    acts: z.array(
      z.looseObject({
        ...{ id: z.string(), what: z.enum(['discarded', 'purged', 'imported']), by: z.string(), at: time },
        ...{ because: z.string(), asked: z.record(z.string(), z.unknown()), counts, isComplete: z.boolean() },
      }),
    ),
  })
  .meta({ id: 'History' })
export const removal = z
  .looseObject({
    outcome: z.enum(['discarded', 'purged']),
    wouldRemove: z.int().optional().describe('Without `confirm`: how many it would be'),
    heldBy: z.array(z.unknown()).optional().describe('What others hold, and who; the first 100'),
    isComplete: z.boolean().optional(),
  })
  .meta({ id: 'Removal' })
export const imported = z.looseObject({ isComplete: z.boolean() }).meta({ id: 'Imported' })

export const plan = z
  .looseObject({
    matching: z.int().describe('Dead letters that match the filter'),
    sent: z.int().describe('Of these, those that would be sent'),
    byReason: counts,
    skipped: counts,
    deadlinesDropped: z.int(),
    versionsAsked: z.int(),
    upTo: z.int(),
  })
  .meta({ id: 'ReplayPlan' })
export const task = z
  .looseObject({
    ...{ id: z.string(), state: z.enum(['running', 'paused', 'cancelled', 'done']), note: z.string() },
    ...{ by: z.string(), filter: z.unknown(), options: z.unknown(), upTo: z.int(), total: z.int() },
    counts: z.looseObject({ predicted: z.int(), failed: z.int(), superseded: z.int(), skipped: counts }),
    ...{ createdAt: time, updatedAt: time },
    halted: z.enum(['interruption', 'failures', 'wish']).optional(),
    eventsPerSecond: z.number().optional(),
    underWay: z.int().optional(),
    etaMs: z.number().optional(),
    events: z.array(z.object({ at: time, by: z.string(), what: z.string() })),
  })
  .meta({ id: 'Replay' })
export const tasks = z.object({ replays: z.array(task) }).meta({ id: 'Replays' })
export const planned = z.object({ plan }).meta({ id: 'NothingToReplay' })
export const started = z.object({ plan, task }).meta({ id: 'StartedReplay' })

export const problem = z
  .object({
    ...{ type: z.string(), title: z.string(), status: z.int(), detail: z.string(), error: z.string() },
    instance: z.string().optional(),
    code: z.string().optional().describe('A word for programs'),
    field: z.string().optional().describe('What is wrong'),
    value: z.string().optional().describe('What stood there'),
    remedy: z.string().optional().describe('What to do about it'),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' })

export const alive = z.object({ status: z.literal('alive') }).meta({ id: 'Alive' })
export const readiness = z
  .object({
    status: z.string(),
    reasons: z.array(z.string()),
    notes: z.array(z.string()).optional(),
  })
  .meta({ id: 'Readiness' })
