import { encodeAttribute, HEADERS, readHeader } from '../../../shared/sdk/contract/headers.ts'
import { decodeResponse } from '../../../shared/sdk/contract/open-inference.ts'
import { tokenOfSubject } from '../../../shared/sdk/contract/subjects.ts'
import type { Reason } from '../../../shared/sdk/errors.ts'
import type { StoredRecord } from '../../kit/outcomes.ts'
import type { Outputs } from './bare-model.ts'
import type { AcceptedEvent } from './feed.ts'
import type { StagedEvent } from './stage-events.ts'
import type { Answered } from './timeline.ts'

/** How an event may end. */
export type Ending = 'prediction' | Reason

/** What a scenario left behind. */
export interface Remains {
  readonly accepted: readonly AcceptedEvent[]
  /** Every event that was sent at all, by token: one whose acceptance nobody learnt of may have an outcome. */
  readonly sent: ReadonlyMap<string, StagedEvent>
  /** RESULTS and DEADLETTERS, in order. */
  readonly results: readonly StoredRecord[]
  readonly deadLetters: readonly StoredRecord[]
}

export interface Expected {
  /** How this event may end. */
  readonly endings: (id: string) => readonly Ending[]
  /** Whether an operator had this event replayed: then a prediction may follow its failure notice. */
  readonly isReplayed: (id: string) => boolean
  /** What the model itself says of an event. */
  readonly outputs: (event: StagedEvent, version: string) => Promise<Outputs>
  /** The payload as it was published. */
  readonly payload: (event: StagedEvent) => Uint8Array
}

/** What is wrong, named event by event; all empty when the promises were kept. */
export interface Verdict {
  /** Accepted, and without prediction or dead letter. */
  readonly lost: readonly string[]
  /** More than one outcome without a replay. */
  readonly doubled: readonly string[]
  /** Outcomes of events nobody sent. */
  readonly strangers: readonly string[]
  /** Predictions that are not the model's own answer to that event. */
  readonly wrong: readonly string[]
  /** Events that ended as they should not have. */
  readonly misjudged: readonly string[]
  /** Dead letters that do not hold the payload. */
  readonly damaged: readonly string[]
  readonly predictions: number
  readonly deadLetters: number
  readonly answers: readonly Answered[]
  /** The same by id: when each event was accepted, and its first outcome stored. */
  readonly answersById: ReadonlyMap<string, Answered>
}

/** Holds what the streams hold against what was accepted. Reads nothing itself. */
export async function judge(remains: Remains, expected: Expected): Promise<Verdict> {
  const { accepted, sent, results, deadLetters } = remains
  const registers = byToken(results)
  const kept = new Map(deadLetters.map((record) => [tokenOfSubject(record.subject), record]))
  const verdict = { lost: [], doubled: [], strangers: [], wrong: [], misjudged: [], damaged: [] } as Record<
    'lost' | 'doubled' | 'strangers' | 'wrong' | 'misjudged' | 'damaged',
    string[]
  >
  const answersById = new Map<string, Answered>()
  for (const { event, token, at } of accepted) {
    const first = registers.get(token)?.[0]
    if (first === undefined) verdict.lost.push(event.id)
    else answersById.set(event.id, { acceptedAt: at, storedAt: first.storedAt })
  }
  for (const [token, outcomes] of registers) {
    const event = sent.get(token)
    const last = outcomes.at(-1)
    if (event === undefined || last === undefined) verdict.strangers.push(token)
    else {
      if (!isOneOutcome(outcomes, expected.isReplayed(event.id))) verdict.doubled.push(event.id)
      const ending = endingOf(last)
      if (!expected.endings(event.id).includes(ending)) verdict.misjudged.push(`${event.id}: ${ending}`)
      if (ending === 'prediction') verdict.wrong.push(...(await mistakes(event, last, expected)))
      else verdict.damaged.push(...damages(event, kept.get(token), expected))
    }
  }
  const predictions = [...registers.values()].filter((all) =>
    all.some((one) => endingOf(one) === 'prediction'),
  )
  const answers = [...answersById.values()]
  return { ...verdict, answers, answersById, predictions: predictions.length, deadLetters: kept.size }
}

function byToken(records: readonly StoredRecord[]): Map<string, StoredRecord[]> {
  const groups = new Map<string, StoredRecord[]>()
  for (const record of records) {
    const token = tokenOfSubject(record.subject)
    const group = groups.get(token)
    if (group === undefined) groups.set(token, [record])
    else group.push(record)
  }
  return groups
}

/** RESULTS keeps every message of a subject: a second one is a second outcome, unless a replay followed a failure. */
function isOneOutcome(outcomes: readonly StoredRecord[], isReplayed: boolean): boolean {
  const endings = outcomes.map(endingOf)
  return isReplayed
    ? endings.filter((ending) => ending === 'prediction').length <= 1 &&
        !endings.slice(0, -1).includes('prediction')
    : endings.length === 1
}

function endingOf({ headers }: StoredRecord): Ending {
  if (readHeader(headers, HEADERS.outcome) === 'prediction') return 'prediction'
  return (readHeader(headers, HEADERS.deadLetterReason) ?? 'no reason') as Reason
}

async function mistakes(event: StagedEvent, result: StoredRecord, expected: Expected): Promise<string[]> {
  const { headers, body } = result
  const correlation = readHeader(headers, HEADERS.correlationId)
  if (correlation !== encodeAttribute(event.id)) return [`${event.id}: names ${correlation}`]
  const contentType = readHeader(headers, HEADERS.dataContentType)
  const { outputs } = decodeResponse(contentType, readHeader(headers, HEADERS.inferenceHeaderLength), body)
  const own = await expected.outputs(event, readHeader(headers, HEADERS.modelVersion) ?? '')
  if (outputs.length === 0) return [`${event.id}: no outputs`]
  return outputs.flatMap(({ name, data }) => {
    const values = own.get(name)
    const isSame =
      values?.length === data.length &&
      Array.from<unknown>(data as never).every((value, index) => Object.is(value, values[index]))
    return isSame ? [] : [`${event.id}: ${name} is ${data}, the model says ${values && Array.from(values)}`]
  })
}

function damages(event: StagedEvent, letter: StoredRecord | undefined, { payload }: Expected): string[] {
  if (letter === undefined) return [`${event.id}: its dead letter is gone`]
  return Buffer.from(letter.body).equals(payload(event)) ? [] : [`${event.id}: another payload`]
}
