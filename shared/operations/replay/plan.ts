import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../sdk/contract/headers.ts'
import { isReason, REASONS } from '../../sdk/errors.ts'
import { patiently } from '../broker/patience.ts'
import { browseDeadLetters, readDeadLetters } from '../dead-letters/browse.ts'
import type { DeadLetterFilter } from '../dead-letters/filter.ts'
import { originOf } from '../dead-letters/origin.ts'
import type { DeadLetterEntry, StoredDeadLetter } from '../records/dead-letter.ts'
import { superseded } from '../records/superseded-mark.ts'
import { editPayload } from './edit.ts'
import { type Patch, readPatch } from './json-patch.ts'
import type { ReplayOptions } from './task.ts'

/** What a replay would do. */
export interface ReplayPlan {
  /** Dead letters that match the filter. */
  readonly matching: number
  /** Of these, those that would be sent. */
  readonly sent: number
  readonly byReason: Readonly<Record<string, number>>
  /** Passed over, by why. */
  readonly skipped: Readonly<Record<string, number>>
  /** Sent without the deadline they had. */
  readonly deadlinesDropped: number
  /** Their producers asked for a model version, and so will the replay. */
  readonly versionsAsked: number
  /** Last sequence of DEADLETTERS that was looked at. */
  readonly upTo: number
  /** What the patch does to the first payload it applies to, and why it was refused first; undefined without a patch. */
  readonly patch?: { readonly applied?: PatchSample; readonly refused?: PatchRefusal }
}

export interface PatchSample {
  readonly sequence: number
  readonly token: string
  /** The JSON of the payload, its first 4,000 characters. */
  readonly before: string
  readonly after: string
}

export interface PatchRefusal {
  readonly sequence: number
  readonly token: string
  readonly detail: string
}

type Wanted = Pick<
  ReplayOptions,
  'modelVersion' | 'dropVersion' | 'keepDeadline' | 'cap' | 'patch' | 'superseded'
>

/** Why a dead letter is passed over whose caller has another event for it. */
export const SUPERSEDED = 'superseded by its caller, who asked again'

const SAMPLE_LENGTH = 4_000

/**
 * Why a dead letter is passed over, or `undefined` for one that can be sent. What failed because of its own content
 * would fail again: it is sent only with a patch, to another model version, or where the reason was asked for by name.
 */
function whySkipped(
  entry: DeadLetterEntry,
  filter: DeadLetterFilter,
  { modelVersion, keepDeadline, patch }: Pick<Wanted, 'modelVersion' | 'keepDeadline' | 'patch'>,
): string | undefined {
  if (originOf(entry) === undefined) return 'written by nobody of Pelton: no token, origin or subject'
  const reason = readHeader(entry.headers, HEADERS.deadLetterReason) ?? ''
  if (!isReason(reason)) return `unknown reason ${reason}`
  const isMended = reason === 'deadline-exceeded' && !keepDeadline
  if (REASONS[reason].replay === 'as-is' || isMended) return undefined
  if (filter.reason === reason || modelVersion !== undefined || patch !== undefined) return undefined
  return `${reason}: would fail again unchanged`
}

/**
 * The same, by what the broker knows as well: whose caller asked again is sent only where that was asked for. Asks only of
 * events that had an idempotency key.
 *
 * @throws PeltonError `broker-unavailable`
 */
export async function whyLeft(
  connection: NatsConnection,
  entry: DeadLetterEntry,
  filter: DeadLetterFilter,
  options: Pick<Wanted, 'modelVersion' | 'keepDeadline' | 'patch' | 'superseded'>,
): Promise<string | undefined> {
  const why = whySkipped(entry, filter, options)
  if (why !== undefined || options.superseded === true) return why
  const mark = await patiently(() => superseded(connection, entry))
  return mark && SUPERSEDED
}

/** Dead letters whose marks are asked for together: with a patch their payloads are in memory as long. */
const ASKED_TOGETHER = 32

/** Each with why it is passed over, in their order. */
async function* withWhy<Entry extends DeadLetterEntry>(
  entries: AsyncIterable<Entry>,
  ask: (entry: Entry) => Promise<string | undefined>,
): AsyncGenerator<readonly [Entry, string | undefined]> {
  let some: Entry[] = []
  const judged = () => Promise.all(some.map(async (entry) => [entry, await ask(entry)] as const))
  for await (const entry of entries) {
    if (some.push(entry) < ASKED_TOGETHER) continue
    yield* await judged()
    some = []
  }
  yield* await judged()
}

/**
 * Counts what a replay would do; changes nothing. Reads payloads only where there is a patch to try.
 *
 * @throws PeltonError `invalid-argument` for a patch that is none
 */
export async function planReplay(
  connection: NatsConnection,
  filter: DeadLetterFilter,
  options: Wanted,
): Promise<ReplayPlan> {
  const patch = options.patch === undefined ? undefined : readPatch(options.patch)
  const tally = new Tally(options)
  const ask = (entry: DeadLetterEntry) => whyLeft(connection, entry, filter, options)
  if (patch === undefined)
    for await (const [entry, why] of withWhy(browseDeadLetters(connection, { filter }), ask))
      tally.add(entry, why)
  else
    for await (const [letter, why] of withWhy(readDeadLetters(connection, { filter }), ask))
      tally.addPatched(letter, why, patch, connection.info?.max_payload)
  return tally.plan
}

class Tally {
  readonly #options: Wanted
  readonly #byReason: Record<string, number> = {}
  readonly #skipped: Record<string, number> = {}
  readonly #counts = { matching: 0, sent: 0, deadlinesDropped: 0, versionsAsked: 0, upTo: 0 }
  #applied: PatchSample | undefined
  #refused: PatchRefusal | undefined

  constructor(options: Wanted) {
    this.#options = options
  }

  get plan(): ReplayPlan {
    const patch = {
      ...(this.#applied !== undefined && { applied: this.#applied }),
      ...(this.#refused !== undefined && { refused: this.#refused }),
    }
    const base = { ...this.#counts, byReason: this.#byReason, skipped: this.#skipped }
    return this.#options.patch === undefined ? base : { ...base, patch }
  }

  /** @param why it is passed over; undefined for one that would be sent */
  add(entry: DeadLetterEntry, why: string | undefined): void {
    const counts = this.#counts
    const { cap = Number.POSITIVE_INFINITY, keepDeadline, modelVersion, dropVersion } = this.#options
    counts.matching++
    counts.upTo = entry.sequence
    if (why !== undefined) {
      this.#skipped[why] = (this.#skipped[why] ?? 0) + 1
      return
    }
    if (counts.sent >= cap) return
    const reason = readHeader(entry.headers, HEADERS.deadLetterReason) ?? ''
    counts.sent++
    this.#byReason[reason] = (this.#byReason[reason] ?? 0) + 1
    if (!keepDeadline && entry.headers.has(HEADERS.expiryTime)) counts.deadlinesDropped++
    const isPinned = readHeader(entry.headers, HEADERS.modelVersion) !== undefined
    if (isPinned && modelVersion === undefined && dropVersion !== true) counts.versionsAsked++
  }

  addPatched(letter: StoredDeadLetter, why: string | undefined, patch: Patch, maxPayload?: number): void {
    if (why !== undefined) {
      this.add(letter, why)
      return
    }
    const { sequence, token } = letter
    const edit = editPayload(patch, letter.headers, letter.body, maxPayload)
    if (edit.kind === 'refused') this.#refused ??= { sequence, token, detail: edit.detail }
    else this.#applied ??= { sequence, token, before: cut(edit.before), after: cut(edit.after) }
    this.add(letter, edit.kind === 'refused' ? edit.why : undefined)
  }
}

function cut(text: string): string {
  return text.length <= SAMPLE_LENGTH ? text : `${text.slice(0, SAMPLE_LENGTH)}…`
}
