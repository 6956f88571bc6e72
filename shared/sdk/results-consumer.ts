import { randomUUID } from 'node:crypto'
import type { NatsConnection } from '@nats-io/transport-node'
import { encodeSegment, subjects } from './contract/subjects.ts'
import { STREAMS } from './contract/topology.ts'
import { PeltonError, showValue } from './errors.ts'
import {
  ApiRefusal,
  type ConsumerInfo,
  consumerInfo,
  patientApi,
  requestApi,
  streamInfo,
} from './jetstream/api.ts'
import type { Waiting } from './jetstream/election.ts'
import { namesOf } from './jetstream/names-of.ts'
import { notOnBroker } from './jetstream/not-on-broker.ts'
import { explained } from './jetstream/provision-refusal.ts'

/** Which results, from where, and how they are handed out. */
export interface ConsumerWish {
  /** Name of a durable consumer without its prefix; `undefined` for an ephemeral one. */
  readonly durable: string | undefined
  /** Models to filter by; empty for all. */
  readonly models: readonly string[]
  readonly from: 'new' | 'all' | Date
  readonly ackWaitMs: number
  readonly maxUnacked: number
}

/** How long the broker keeps an ephemeral consumer that nobody pulls from. */
const INACTIVE_MS = 5 * 60_000

/** A consumer on RESULTS that can be made again where it was lost. */
export class ResultsConsumer {
  readonly name: string
  readonly isDurable: boolean
  readonly #connection: NatsConnection
  readonly #wish: ConsumerWish
  #epoch = ''
  #ackWaitMs: number
  #missed = 0

  constructor(connection: NatsConnection, wish: ConsumerWish) {
    this.#connection = connection
    this.#wish = wish
    this.#ackWaitMs = wish.ackWaitMs
    this.isDurable = wish.durable !== undefined
    this.name = wish.durable === undefined ? `sub-${randomUUID()}` : `sub-${encodeSegment(wish.durable)}`
  }

  /** How long the broker waits for an acknowledgement: of a durable that was there before, what it was made with. */
  get ackWaitMs(): number {
    return this.#ackWaitMs
  }

  /** How many results left RESULTS that this durable was never handed, of all models; 0 for a new one. */
  get missed(): number {
    return this.#missed
  }

  /**
   * Creates the consumer, or finds the durable of this name.
   *
   * @param waiting for leaders that are elected just then
   * @throws PeltonError `not-provisioned` without RESULTS, `invalid-argument` when the durable filters by other models
   */
  async open(waiting: Waiting): Promise<void> {
    // One by one: a durable whose creation had no answer is new all the same, and missed nothing.
    const stream = await patientApi(() => streamInfo(this.#connection, STREAMS.results), waiting)
    if (stream === undefined) {
      const name = namesOf(this.#connection).stream(STREAMS.results)
      throw notOnBroker(`stream ${name}`)
    }
    this.#epoch = stream.created
    const present = await patientApi(() => this.#find(), waiting)
    if (present === undefined) await patientApi(() => this.#create(startOf(this.#wish.from)), waiting)
    else {
      this.#adopt(present)
      this.#missed = Math.max(0, stream.state.first_seq - 1 - (present.ack_floor?.stream_seq ?? 0))
    }
  }

  /**
   * Makes sure the consumer is there, continuing at stream sequence `from` where it had to be made again.
   *
   * @returns whether it was
   */
  async restore(from: number | undefined): Promise<boolean> {
    if ((await this.#find()) !== undefined) return false
    const stream = await streamInfo(this.#connection, STREAMS.results)
    if (stream === undefined) return false // the operator is not done yet
    const isSameStream = stream.created === this.#epoch
    this.#epoch = stream.created
    if (!isSameStream) await this.#create({ deliver_policy: 'all' })
    else if (from === undefined) await this.#create(startOf(this.#wish.from))
    else await this.#create({ deliver_policy: 'by_start_sequence', opt_start_seq: from })
    return true
  }

  /** Removes an ephemeral consumer; a durable stays. */
  async release(): Promise<void> {
    if (this.isDurable) return
    await requestApi(this.#connection, `CONSUMER.DELETE.${STREAMS.results}.${this.name}`)
  }

  #find(): Promise<ConsumerInfo | undefined> {
    return consumerInfo(this.#connection, STREAMS.results, this.name)
  }

  #adopt({ config }: ConsumerInfo): void {
    const found = [config.filter_subject ?? [], config.filter_subjects ?? []].flat().sort()
    const wanted = this.#filters().sort()
    if (showValue(found) !== showValue(wanted)) {
      throw new PeltonError('invalid-argument', 'this durable subscriber exists with other models', {
        field: 'durable',
        value: `${this.#wish.durable ?? ''}: ${showValue(found)}`,
        remedy: 'Subscribe with the same models, or use another name.',
      })
    }
    this.#ackWaitMs = Number(config.ack_wait) / 1e6
  }

  async #create(start: object): Promise<void> {
    const { ackWaitMs, maxUnacked } = this.#wish
    const filters = this.#filters()
    const [filter] = filters
    const isSingle = filters.length === 1 && filter !== undefined
    const config = {
      name: this.name,
      ...(this.isDurable ? { durable_name: this.name } : { inactive_threshold: INACTIVE_MS * 1e6 }),
      ...(isSingle ? { filter_subject: filter } : { filter_subjects: filters }),
      ...start,
      ack_policy: 'explicit',
      ack_wait: ackWaitMs * 1e6,
      max_deliver: -1,
      max_ack_pending: maxUnacked,
    }
    const subject = `CONSUMER.CREATE.${STREAMS.results}.${this.name}${isSingle ? `.${filter}` : ''}`
    try {
      await requestApi(this.#connection, subject, { stream_name: STREAMS.results, config })
    } catch (thrown) {
      // Another process may have created the same durable in between, with a start of its own.
      const present = thrown instanceof ApiRefusal ? await this.#find() : undefined
      if (present === undefined) throw explained(thrown)
      this.#adopt(present)
    }
  }

  #filters(): string[] {
    const { models } = this.#wish
    return models.length === 0
      ? [subjects.resultFilter()]
      : [...new Set(models)].map((model) => subjects.resultFilter(model))
  }
}

function startOf(from: ConsumerWish['from']): object {
  if (from instanceof Date) return { deliver_policy: 'by_start_time', opt_start_time: from.toISOString() }
  return { deliver_policy: from }
}
