import { CONTRACT_VERSION, readOrigin } from './event.ts'
import { HEADERS, type Headers, readHeader } from './headers.ts'
import { MODEL_SOURCE, sourceOfModel } from './register-message.ts'
import { readOutcomeSubject, readRoute } from './subjects.ts'
import { isToken } from './token.ts'

/**
 * What a message in the register of an event is. `junk` is no outcome: it does not say that it is one, or cannot be read.
 * `newer` is an outcome of a major of the contract that this code does not speak.
 */
export type Registered = 'prediction' | 'dead-letter' | 'junk' | 'newer'

const OWN_MAJOR = Number(CONTRACT_VERSION.split('.')[0])

/** Absent means 1. */
const VERSION = /^(\d{1,9})(?:\.\d{1,9})?$/

/** Whether a message is of a major of the contract that this code does not speak yet. */
export function isOfNewerMajor(headers: Headers): boolean {
  return majorOf(headers) > OWN_MAJOR
}

/** NaN for a version that is none. */
function majorOf(headers: Headers): number {
  return Number(VERSION.exec(readHeader(headers, HEADERS.contract) ?? '1')?.[1])
}

/**
 * Reads what a message of RESULTS says it is.
 *
 * @param token of the register's subject: an outcome of another event is none of this one
 */
export function readRegistered(headers: Headers, token: string): Registered {
  if (isOfNewerMajor(headers)) return 'newer'
  const outcome = readHeader(headers, HEADERS.outcome)
  const isOutcome = outcome === 'prediction' || outcome === 'dead-letter'
  if (majorOf(headers) !== OWN_MAJOR || !isOutcome || readHeader(headers, HEADERS.token) !== token)
    return 'junk'
  const isWhole =
    readOrigin({ headers }) !== undefined && isToken(readHeader(headers, HEADERS.inputDigest) ?? '')
  return isWhole ? outcome : 'junk'
}

/** Whether an outcome in RESULTS says of itself that another model made it than that of its subject. */
export function isOfOtherModel(subject: string, headers: Headers): boolean {
  const source = readHeader(headers, HEADERS.source)
  if (source?.startsWith(MODEL_SOURCE) !== true) return false
  const model = readOutcomeSubject(subject)?.model
  return model !== undefined && source !== sourceOfModel(model)
}

/** A subject that a header holds as it was: whole, and nothing of it replaced. */
const PLAIN_SUBJECT = /^[!-~]+$/

/** Whether a dead letter says of itself that its event was one for another model than that of its subject. */
export function isLetterOfOtherModel(subject: string, headers: Headers): boolean {
  const original = readHeader(headers, HEADERS.originalSubject) ?? ''
  const route = PLAIN_SUBJECT.test(original) ? readRoute(original) : undefined
  const model = readOutcomeSubject(subject)?.model
  return route !== undefined && model !== undefined && route.model !== model
}
