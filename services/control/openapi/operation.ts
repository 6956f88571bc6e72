import { z } from 'zod'
import type { DescribedAnswer, Operation } from '../../../shared/runtime/openapi.ts'
import { problem } from './answers.ts'

type Answers = Operation['answers']
type About = Pick<Operation, 'path' | 'id' | 'summary' | 'tag' | 'description' | 'query' | 'body'>

const REFUSALS: Readonly<Record<number, string>> = {
  400: 'What was sent cannot be read: `field` says what',
  401: 'A token is needed, or this is none',
  404: 'There is none',
  408: 'The import brought nothing for 30 s',
  409: 'Another process has it, or it is over',
  413: 'The body is too large',
  415: 'The body is of another type',
  421: 'The service is not called so',
  500: 'A defect, whose id the log has',
  503: 'The broker is away, or the service stops',
}
/** Any request may be answered so. */
const ANY = [400, 401, 421, 500, 503] as const
const OF_BODIES = [413, 415] as const

const operator = z.object({
  'Pelton-Operator': z
    .string()
    .regex(/^[\x20-\x7e]{1,64}$/)
    .optional()
    .describe('Who asks, for the records; else the name of the token'),
})

/** @param statuses it may be refused with beside those of any request */
export function get(about: About, ok: DescribedAnswer, ...statuses: readonly number[]): Operation {
  return { ...about, method: 'get', answers: { 200: ok, ...refusals(statuses) } }
}

/** Whatever changes something is written down under the name of who asks. */
export function post(about: About, ok: Answers, ...statuses: readonly number[]): Operation {
  const answers = { ...ok, ...refusals([...OF_BODIES, ...statuses]) }
  return { ...about, method: 'post', headers: operator, answers }
}

function refusals(statuses: readonly number[]): Answers {
  const all = [...new Set([...ANY, ...statuses])]
  return {
    ...Object.fromEntries(all.map((status) => [status, refusal(REFUSALS[status] ?? '')])),
    default: refusal('Any other refusal: 405 another method'),
  }
}

function refusal(description: string): DescribedAnswer {
  return { description, content: { 'application/problem+json': problem } }
}

/** An answer in JSON. */
export function json(description: string, schema: z.ZodType): DescribedAnswer {
  return { description, content: { 'application/json': schema } }
}

/** A body in JSON. One that is not required means, where it is missing, what its defaults say. */
export function body(schema: z.ZodType, isRequired: boolean): NonNullable<Operation['body']> {
  return { isRequired, content: { 'application/json': schema } }
}
