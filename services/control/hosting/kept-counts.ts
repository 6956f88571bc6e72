import type { NatsConnection } from '@nats-io/transport-node'
import {
  readStoredSequences,
  type StoredSequences,
  storedSet,
} from '../../../shared/operations/broker/stored-sequences.ts'
import { browseDeadLetters } from '../../../shared/operations/dead-letters/browse.ts'
import type { DeadLetterFilter } from '../../../shared/operations/dead-letters/filter.ts'
import {
  type DeadLetterGroup,
  type Grouped,
  Grouping,
  groupDeadLetters,
  Tally,
} from '../../../shared/operations/dead-letters/groups.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'

/** Beyond this many sequences between the oldest and the newest nothing is kept: some 100 bytes each. */
const MAX_SPAN = 2_000_000

/**
 * Counts of all dead letters for a process that runs on. Reason and description stand in headers, and the broker counts
 * nothing but subjects; so each dead letter is read once, headers only, and a later question reads what is new since. What
 * left the stream is known from the broker's own list of removed sequences.
 */
export class KeptCounts {
  readonly #connection: NatsConnection
  #grouping = new Grouping()
  #letters = new Map<number, Grouped>()
  #epoch = ''
  /** First sequence that was not read. */
  #next = 1
  #counting: Promise<DeadLetterGroup[] | undefined> | undefined

  constructor(connection: NatsConnection) {
    this.#connection = connection
  }

  /**
   * Counts by group, most frequent first. What a filter asks for beyond model and reason has to be read.
   *
   * @throws PeltonError `broker-unavailable`, `not-provisioned`
   */
  async groups(filter: DeadLetterFilter = {}): Promise<DeadLetterGroup[]> {
    const { model, reason, ...beyond } = filter
    const all = Object.keys(beyond).length === 0 ? await this.#shared() : undefined
    if (all === undefined) return groupDeadLetters(browseDeadLetters(this.#connection, { filter }))
    return all.filter(
      (group) => group.model === (model ?? group.model) && group.reason === (reason ?? group.reason),
    )
  }

  /** Questions at the same time share an answer; `undefined` where there are too many to keep. */
  #shared(): Promise<DeadLetterGroup[] | undefined> {
    this.#counting ??= this.#count().finally(() => {
      this.#counting = undefined
    })
    return this.#counting
  }

  async #count(): Promise<DeadLetterGroup[] | undefined> {
    const stored = await readStoredSequences(this.#connection, STREAMS.deadLetters)
    const { epoch, firstSequence, lastSequence } = stored
    if (epoch !== this.#epoch) this.#forget(epoch)
    const present = lastSequence - firstSequence >= MAX_SPAN ? undefined : storedSet(stored, firstSequence)
    if (present === undefined) return this.#forget(epoch)
    await this.#readNew(stored)
    const tally = new Tally()
    for (const [sequence, letter] of this.#letters) {
      if (present.has(sequence)) tally.add(letter)
      else this.#letters.delete(sequence)
    }
    return tally.groups(this.#grouping)
  }

  async #readNew({ firstSequence, lastSequence }: StoredSequences): Promise<void> {
    const fromSequence = Math.max(this.#next, firstSequence)
    if (fromSequence > lastSequence) return
    const range = { fromSequence, toSequence: lastSequence }
    for await (const entry of browseDeadLetters(this.#connection, range))
      this.#letters.set(entry.sequence, this.#grouping.sort(entry))
    this.#next = lastSequence + 1
  }

  #forget(epoch: string): undefined {
    this.#epoch = epoch
    this.#grouping = new Grouping()
    this.#letters = new Map()
    this.#next = 1
  }
}
