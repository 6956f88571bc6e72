import type { NatsConnection } from '@nats-io/transport-node'
import { HEADERS, readHeader } from '../../sdk/contract/headers.ts'
import { isReason, REASONS } from '../../sdk/errors.ts'
import { browseDeadLetters, readDeadLetters } from '../dead-letters/browse.ts'
import type { DeadLetterFilter } from '../dead-letters/filter.ts'
import { originOf } from '../dead-letters/origin.ts'
import type { DeadLetterEntry, StoredDeadLetter } from '../records/dead-letter.ts'
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

type Wanted = Pick<ReplayOptions, 'modelVersion' | 'dropVersion' | 'keepDeadline' | 'cap' | 'patch'>

const SAMPLE_LENGTH = 4_000

/**
 * Why a dead letter is passed over, or `undefined` for one that can be sent. What failed because of its own content
 * would fail again: it is sent only with a patch, to another model version, or where the reason was asked for by name.
 */
export function whySkipped(
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
  const tally = new Tally(filter, options)
  if (patch === undefined)
    for await (const entry of browseDeadLetters(connection, { filter })) tally.add(entry)
  else
    for await (const letter of readDeadLetters(connection, { filter }))
      tally.addPatched(letter, patch, connection.info?.max_payload)
  return tally.plan
}

class Tally {
  readonly #filter: DeadLetterFilter
  readonly #options: Wanted
  readonly #byReason: Record<string, number> = {}
  readonly #skipped: Record<string, number> = {}
  readonly #counts = { matching: 0, sent: 0, deadlinesDropped: 0, versionsAsked: 0, upTo: 0 }
  #applied: PatchSample | undefined
  #refused: PatchRefusal | undefined

  constructor(filter: DeadLetterFilter, options: Wanted) {
    this.#filter = filter
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

  add(entry: DeadLetterEntry, why = whySkipped(entry, this.#filter, this.#options)): void {
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

  addPatched(letter: StoredDeadLetter, patch: Patch, maxPayload?: number): void {
    const why = whySkipped(letter, this.#filter, this.#options)
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
