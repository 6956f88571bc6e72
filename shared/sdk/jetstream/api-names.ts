import type { Names } from '../contract/names.ts'

/** A request to the JetStream API: its subject without `$JS.API.`, and its body. */
export interface ApiRequest {
  readonly subject: string
  readonly body: unknown
}

/**
 * A request about a stream of Pelton with the names the broker has. One about others, or about the account, stays as it is,
 * and so does its answer, in which every name is the broker's. Who takes a subject of Pelton is asked by its plain name.
 */
export function namedRequest(names: Names, { subject, body }: ApiRequest): ApiRequest {
  const renaming = brokerNames(names)
  if (OF_ALL_STREAMS.has(subject)) return { subject, body: mapped(body, renaming) }
  const parts = subject.split('.')
  const at = placeOfStream(parts)
  const stream = parts[at]
  if (stream === undefined || names.stream(stream) === stream) return { subject, body }
  const [head, filter] = [parts.slice(0, at), parts.slice(at + 2)]
  const named = [...head, names.stream(stream), ...parts.slice(at + 1, at + 2)]
  if (filter.length > 0) named.push(names.subject(filter.join('.')))
  return { subject: named.join('.'), body: mapped(body, renaming) }
}

/** The configuration of a stream or consumer of Pelton as the broker has it. */
export function namedConfig<Config extends object>(names: Names, config: Config): Config {
  return mapped(config, brokerNames(names)) as Config // as it was but for names
}

/** The answer to a request that {@link namedRequest} changed, with plain names. */
export function plainAnswer<Answer>(names: Names, answer: Answer): Answer {
  const renaming = { stream: names.plainStream, subject: names.plainSubject }
  return mapped(answer, renaming) as Answer // as it was but for names
}

/** They take a subject to select by. */
const OF_ALL_STREAMS: ReadonlySet<string> = new Set(['STREAM.NAMES', 'STREAM.LIST'])

/** Behind `STREAM.INFO`, `CONSUMER.LIST` and the like; one further behind `STREAM.MSG.GET` and `CONSUMER.MSG.NEXT`. */
function placeOfStream(parts: readonly string[]): number {
  return parts[1] === 'MSG' || parts[1] === 'LEADER' || parts[1] === 'DURABLE' ? 3 : 2
}

function brokerNames({ stream, subject }: Names): Renaming {
  return { stream, subject }
}

interface Renaming {
  readonly stream: (name: string) => string
  readonly subject: (subject: string) => string
}

/** Fields that name a stream; a consumer has a name, too, which is that of no stream. */
const STREAM_FIELDS: ReadonlySet<string> = new Set(['name', 'stream_name'])
/** Fields that have a subject or a filter, or a list of them, or counts by subject. */
const SUBJECT_FIELDS: ReadonlySet<string> = new Set([
  ...['subject', 'subjects', 'subjects_filter', 'filter', 'filter_subject', 'filter_subjects'],
  ...['last_by_subj', 'next_by_subj', 'multi_last'],
])
/** Fields whose fields are looked at. */
const INNER_FIELDS: ReadonlySet<string> = new Set(['config', 'state', 'message', 'consumers'])

function mapped(value: unknown, renaming: Renaming): unknown {
  if (Array.isArray(value)) return value.map((each) => mapped(each, renaming))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([field, inner]) => [field, mappedField(field, inner, renaming)]),
  )
}

function mappedField(field: string, value: unknown, renaming: Renaming): unknown {
  if (STREAM_FIELDS.has(field)) return typeof value === 'string' ? renaming.stream(value) : value
  if (SUBJECT_FIELDS.has(field)) return mappedSubjects(value, renaming)
  return INNER_FIELDS.has(field) ? mapped(value, renaming) : value
}

function mappedSubjects(value: unknown, { subject }: Renaming): unknown {
  if (typeof value === 'string') return value === '' ? value : subject(value)
  if (Array.isArray(value)) return value.map((each) => (typeof each === 'string' ? subject(each) : each))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([each, count]) => [subject(each), count]))
}
