import { z } from 'zod'
import type { DeadLetterFilter } from '../../../shared/operations/dead-letters/filter.ts'
import { readWhich } from '../../../shared/operations/dead-letters/which.ts'
import type { ReplayOptions } from '../../../shared/operations/replay/task.ts'
import { MOMENT_FORM, readMoment } from '../../../shared/runtime/moment.ts'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import { PeltonError, REASONS, type Reason, showValue } from '../../../shared/sdk/errors.ts'

const text = z.string().min(1).max(1_024)
const time = text.transform((given, context) => {
  const read = readMoment(given, Date.now())
  if (read !== undefined) return read.toISOString()
  context.addIssue({ code: 'custom', message: `It must be ${MOMENT_FORM}.` })
  return z.NEVER
})
const reasons = Object.keys(REASONS) as [Reason, ...Reason[]]

/** The conditions of the command line; all of them hold. */
const filterFields = {
  model: text.optional(),
  reason: z.enum(reasons).optional(),
  since: time.optional(),
  until: time.optional(),
  key: text.optional(),
  id: text.optional(),
  subject: text.optional(),
  text: text.optional(),
}
const failures = z.int().min(1).max(1_000_000)
/** A number in a query. */
const digits = z
  .string()
  .regex(/^\d{1,16}$/, 'must be a whole number')
  .transform(Number)

export const filterBody = z.strictObject({ ...filterFields, maxFailures: failures.optional() })
export const filterQuery = z.strictObject({ ...filterFields, maxFailures: digits.pipe(failures).optional() })
export const pageQuery = filterQuery.extend({
  limit: digits.pipe(z.int().min(1).max(1_000)).default(50),
  cursor: digits.pipe(z.int().min(1).max(Number.MAX_SAFE_INTEGER)).optional(),
  first: z.enum(['oldest', 'newest']).default('oldest'),
})

/** How many groups an answer names: more only for who asks. */
export const countsQuery = filterQuery.extend({
  limit: digits.pipe(z.int().min(1).max(10_000)).default(100),
})

const because = z.string().min(1).max(1_000)
const which = z.union([z.string(), z.int().min(1).transform(String)]).transform((given, context) => {
  try {
    return readWhich(given)
  } catch (thrown) {
    context.addIssue({ code: 'custom', message: (thrown as PeltonError).description })
    return z.NEVER
  }
})

export const discardBody = z
  .strictObject({
    which: z.array(which).min(1).max(10_000).optional(),
    filter: filterBody.optional(),
    because,
    confirm: z.boolean().default(false),
  })
  .refine((body) => (body.which === undefined) !== (body.filter === undefined), {
    path: ['which'],
    message: 'is given, or filter is, and not both',
  })
  .refine((body) => body.filter === undefined || Object.keys(body.filter).length > 0, {
    path: ['filter'],
    message: 'needs a condition: it would be all of them',
  })
export const purgeBody = z.strictObject({ subject: text, because, confirm: z.boolean().default(false) })
export const exportBody = z.strictObject({ filter: filterBody.default({}) })

const rate = z.int().min(1).max(1_000_000)
const share = z.number().min(0).max(1)
/** As JSON; or as text, where its numbers have more digits than JSON of JavaScript keeps. */
const patch = z
  .union([z.string().max(65_536), z.array(z.unknown()).max(1_000)])
  .transform((given) => (typeof given === 'string' ? given : JSON.stringify(given)))

const planFields = {
  filter: filterBody.default({}),
  lane: z.enum(LANES).optional(),
  cap: z.int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  modelVersion: z.string().min(1).max(128).optional(),
  keepDeadline: z.boolean().optional(),
  dropVersion: z.boolean().optional(),
  superseded: z.boolean().optional(),
  patch: patch.optional(),
}
export const planBody = z.strictObject(planFields)
const replayBody = planBody.extend({
  rate: rate.optional(),
  rampSeconds: z.number().min(0).max(86_400).optional(),
  inFlight: z.int().min(1).max(100_000).optional(),
  maxFailureShare: share.optional(),
})
export const startBody = replayBody
  .extend({ all: z.boolean().default(false) })
  .refine((body) => body.all || Object.keys(body.filter).length > 0, {
    path: ['filter'],
    message: 'needs a condition, or "all": true for every dead letter there is',
  })
  .refine((body) => !body.all || Object.keys(body.filter).length === 0, {
    path: ['all'],
    message: 'is said of no filter: give one of the two',
  })
export const resumeBody = z.strictObject({ rate: rate.optional(), maxFailureShare: share.optional() })
export const auditBody = z.strictObject({
  deep: z.boolean().default(false),
  full: z.boolean().default(false),
})
export const nothing = z.strictObject({})

/** What zod has as `undefined` is left out: a filter is kept as it was asked for. */
type Given<Value> = { [Key in keyof Value]: Exclude<Value[Key], undefined> }

export function withoutUndefined<Value extends object>(value: Value): Given<Value> {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  return Object.fromEntries(entries) as Given<Value> // the same keys, those without a value gone
}

export function filterOf(given: z.infer<typeof filterBody>): DeadLetterFilter {
  return withoutUndefined(given)
}

/** The conditions of a query that also asks for a page. */
export function pageOf({ limit, cursor, first, ...filter }: z.infer<typeof pageQuery>) {
  return { filter: filterOf(filter), limit, first, ...(cursor !== undefined && { cursor }) }
}

export function replayRequestOf({ filter, ...options }: z.infer<typeof replayBody>): {
  readonly filter: DeadLetterFilter
  readonly options: Partial<ReplayOptions>
} {
  return { filter: filterOf(filter), options: withoutUndefined(options) }
}

/**
 * Reads a body, a query or parameters.
 *
 * @throws PeltonError `invalid-argument`: the first field that is wrong, its value, and what it must be
 */
export function readInput<Schema extends z.ZodType>(schema: Schema, given: unknown): z.infer<Schema> {
  const read = schema.safeParse(given ?? {})
  if (read.success) return read.data
  const [issue] = read.error.issues
  if (issue === undefined) throw new PeltonError('invalid-argument', 'the request cannot be read')
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const path = unknown === undefined ? issue.path : [...issue.path, unknown]
  throw new PeltonError('invalid-argument', issue.message, {
    field: path.length === 0 ? 'body' : path.map(String).join('.'),
    value: showValue(valueAt(given, path)),
    remedy: 'docs/control.md lists the fields of each request.',
  })
}

function valueAt(given: unknown, path: readonly PropertyKey[]): unknown {
  let value = given
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Readonly<Record<PropertyKey, unknown>>)[key]
  }
  return value
}
