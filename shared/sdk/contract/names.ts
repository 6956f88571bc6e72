import { PeltonError, showValue } from '../errors.ts'
import { HEADERS, type HeaderEntry } from './headers.ts'
import { ARTIFACTS, BUCKETS, REPLY_ROOTS, ROOTS } from './subjects.ts'
import { ARTIFACTS_STREAM, STORES, STREAMS } from './topology.ts'

/**
 * The names of one Pelton at its broker. Inside of the code every name is *plain*, that of the contract: `FEATURES`,
 * `features.default.churn.normal`. A prefix is put in front where a name goes to the broker, and taken off where one comes
 * from it; what is recorded (origins, the ledger, archives) is plain.
 */
export interface Names {
  /** Undefined where the broker has the plain names. */
  readonly prefix: string | undefined
  /** Below what reply subjects lie. */
  readonly replyRoots: readonly string[]
  /** A stream, bucket or object store as the broker has it. What is none of Pelton's stays as it is. */
  stream(plain: string): string
  /** A subject or filter as the broker has it; `>` stays, everything of one stream. */
  subject(plain: string): string
  /** The reverse of {@link Names.stream}. */
  plainStream(name: string): string
  /** The reverse of {@link Names.subject}. */
  plainSubject(subject: string): string
  /**
   * A text for people with the streams and buckets it names as the broker has them, so that `nats` commands find them. What
   * stands in double quotes by itself is a value that somebody gave, and stays; so does what is part of a path or a subject.
   */
  text(text: string): string
  /** Headers of a message with what the broker acts on as the broker has it. */
  headers(entries: readonly HeaderEntry[]): readonly HeaderEntry[]
}

/** The names of a Pelton without a prefix. */
export const PLAIN_NAMES: Names = {
  prefix: undefined,
  replyRoots: REPLY_ROOTS,
  stream: same,
  subject: same,
  plainStream: same,
  plainSubject: same,
  text: same,
  headers: (entries) => entries,
}

function same(name: string): string {
  return name
}

/** What a prefix may be. It has no hyphen, which ends it in the name of a stream, and no dot. */
const PREFIX = /^[A-Za-z0-9][A-Za-z0-9_]{0,31}$/

/** Prefixes that a subject without one begins with: the two could not be told apart. */
export const RESERVED_PREFIXES: readonly string[] = [...ROOTS, 'pelton']

/** What a prefix must be, for whoever refuses one. */
export const PREFIX_RULE = `1 to 32 characters of [A-Za-z0-9_], the first no _, and none of ${RESERVED_PREFIXES.join(', ')}`

/** Whether a text can be a prefix. */
export function isPrefix(text: string): boolean {
  return PREFIX.test(text) && !RESERVED_PREFIXES.includes(text)
}

/**
 * The names of a Pelton with this prefix, or of the one without.
 *
 * @throws PeltonError `invalid-argument` for a text that cannot be a prefix
 */
export function createNames(prefix?: string): Names {
  if (prefix === undefined) return PLAIN_NAMES
  if (typeof prefix === 'string' && isPrefix(prefix)) return prefixedNames(prefix)
  throw new PeltonError('invalid-argument', 'this prefix cannot be used', {
    field: 'prefix',
    value: showValue(prefix),
    remedy: `Use ${PREFIX_RULE}.`,
  })
}

const PLAIN_STREAMS = [...Object.values(STREAMS), ...Object.values(STORES), ARTIFACTS_STREAM]
const PLAIN_NAMES_OF_ALL = [...PLAIN_STREAMS, ...Object.values(BUCKETS), ARTIFACTS]
/** A plain name as a word of its own: neither part of a setting, a subject or a path, nor behind a prefix. */
const NAMED = new RegExp(`(?<![\\w./-])(?:${PLAIN_NAMES_OF_ALL.join('|')})(?![\\w-]|\\.[\\w*>])`, 'g')

/** What names and subjects of buckets begin with, and goes on with what they are for. */
const BEGINS = ['KV_pelton-', 'OBJ_pelton-', 'pelton-', '$KV.pelton-', '$O.pelton-'] as const
const STREAM_NAMES: ReadonlySet<string> = new Set(Object.values(STREAMS))
const DOLLAR = 36
const ADVISORY = '$JS.EVENT.ADVISORY.CONSUMER.'

function prefixedNames(prefix: string): Names {
  const lead = `${prefix}.`
  const own = BEGINS.map((begin) => `${begin}${prefix}-`)
  const inBucket = (name: string): string => begunOtherwise(name, BEGINS, own)
  const toBroker = new Map(
    PLAIN_NAMES_OF_ALL.map((name) => [name, STREAM_NAMES.has(name) ? `${prefix}-${name}` : inBucket(name)]),
  )
  const fromBroker = new Map([...toBroker].map(([plain, name]) => [name, plain]))
  const stream = (plain: string): string => toBroker.get(plain) ?? plain
  const plainStream = (name: string): string => fromBroker.get(name) ?? name
  const subject = (plain: string): string => {
    if (plain.charCodeAt(0) !== DOLLAR) return plain === '>' ? plain : lead + plain
    return plain.startsWith(ADVISORY) ? advisory(plain, stream) : inBucket(plain)
  }
  return {
    ...{ prefix, stream, subject, plainStream },
    replyRoots: REPLY_ROOTS.map((root) => (root === '_INBOX' ? root : lead + root)),
    plainSubject: (real) => {
      if (real.startsWith(lead)) return real.slice(lead.length)
      return real.startsWith(ADVISORY) ? advisory(real, plainStream) : begunOtherwise(real, own, BEGINS)
    },
    text: (text) =>
      text.replace(NAMED, (name, at: number) => (isQuoted(text, at, name.length) ? name : stream(name))),
    headers: (entries) =>
      entries.map((entry): HeaderEntry => {
        const [name, value] = entry
        if (name === HEADERS.expectedStream) return [name, stream(value)]
        return name === HEADERS.scheduleTarget ? [name, subject(value)] : entry
      }),
  }
}

function isQuoted(text: string, at: number, length: number): boolean {
  return text[at - 1] === '"' && text[at + length] === '"'
}

/** A name that begins as one of these, with the beginning of the same place among the others. */
function begunOtherwise(name: string, begins: readonly string[], others: readonly string[]): string {
  const at = begins.findIndex((begin) => name.startsWith(begin))
  return at < 0 ? name : `${others[at]}${name.slice(begins[at]?.length)}`
}

/** The subject of an advisory, which names the stream behind its kind. */
function advisory(subject: string, stream: (name: string) => string): string {
  const [kind, name, ...rest] = subject.slice(ADVISORY.length).split('.')
  return name === undefined ? subject : `${ADVISORY}${[kind, stream(name), ...rest].join('.')}`
}

/** The plain name of a stream of events by its name at the broker, whatever its prefix; any other name stays. */
export function plainStreamOf(name: string): string {
  const plain = name.slice(name.indexOf('-') + 1)
  return STREAM_NAMES.has(plain) ? plain : name
}
