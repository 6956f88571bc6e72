import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { type DoorFacts, readDoorFacts } from '../../../shared/operations/gates/door-facts.ts'
import {
  drainedBetween,
  type Gate,
  type Gates,
  gateKey,
  judgeGates,
  NO_GATES,
} from '../../../shared/operations/gates/gates.ts'
import type { BrokerReach } from '../../../shared/runtime/broker-reach.ts'
import { encodeFlow } from '../../../shared/sdk/contract/flow.ts'
import { flowSubject } from '../../../shared/sdk/contract/subjects.ts'
import { namesOf } from '../../../shared/sdk/jetstream/names-of.ts'
import type { Watch } from '../watch/watch.ts'
import { type Told, type Word, wordsOf } from './words.ts'

export interface VoiceDeps {
  readonly connection: NatsConnection
  readonly watch: Pick<Watch, 'isLeader' | 'pools'>
  readonly reach: Pick<BrokerReach, 'isReachable'>
  readonly log: Pick<Logger, 'info' | 'warn'>
}

export interface VoiceOptions {
  /** Name of this control service. */
  readonly name: string
  /** The resend horizon of producers, milliseconds. */
  readonly resendMs: number
}

/** What a control service says of the flow. Of several services the one that watches speaks. */
export interface Voice {
  /** How the gates stood at the last look; none of a control service that does not speak. */
  readonly gates: readonly Gate[]
  stop(): Promise<void>
}

/** Between two looks, milliseconds. */
const EVERY_MS = 2_000

/** Says what waits and which gates are shut, again and again, until it is stopped. */
export function speakOfFlow(deps: VoiceDeps, options: VoiceOptions): Voice {
  return new FlowVoice(deps, options)
}

class FlowVoice implements Voice {
  readonly #deps: VoiceDeps
  readonly #options: VoiceOptions
  readonly #stopped = new AbortController()
  readonly #running: Promise<void>
  #facts: DoorFacts | undefined
  #gates: Gates = NO_GATES
  #told: ReadonlyMap<string, Told> = new Map()
  #isInTrouble = false

  constructor(deps: VoiceDeps, options: VoiceOptions) {
    this.#deps = deps
    this.#options = options
    this.#running = this.#run()
  }

  get gates(): readonly Gate[] {
    return [...this.#gates.common, ...this.#gates.fullest]
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      await this.#turn()
      await sleep(EVERY_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  async #turn(): Promise<void> {
    const { watch, reach, log } = this.#deps
    if (!watch.isLeader || !reach.isReachable) return this.#forget()
    try {
      await this.#look()
      this.#isInTrouble = false
    } catch (thrown) {
      // The watch tells of a broker that does not answer, too, and of streams that are missing.
      if (!this.#isInTrouble) log.warn({ err: thrown }, 'what doors go by cannot be read; it is tried again')
      this.#isInTrouble = true
    }
  }

  /** Another one speaks, or nobody hears: what was found then is not of now. */
  #forget(): void {
    this.#facts = undefined
    this.#gates = NO_GATES
    this.#told = new Map()
  }

  async #look(): Promise<void> {
    const { connection, watch } = this.#deps
    const facts = await readDoorFacts(connection, this.#options.resendMs)
    const drained = drainedBetween(this.#facts, facts)
    const gates = judgeGates(facts, this.#gates, drained)
    const { name } = this.#options
    const pools = watch.pools.read()
    const { words, told } = wordsOf({ facts, gates, pools, name, everyMs: EVERY_MS, before: this.#told })
    for (const word of words) this.#say(word)
    this.#tell(gates)
    this.#facts = facts
    this.#gates = gates
    this.#told = told
  }

  #say({ pool, model, flow }: Word): void {
    const { connection } = this.#deps
    const subject = flowSubject(pool, model)
    if (subject === undefined) return // what a plain client may call a model
    connection.publish(namesOf(connection).subject(subject), encodeFlow(flow))
  }

  /** Gates that shut or opened: those for all by their limit, those of one model together. */
  #tell({ common }: Gates): void {
    const were = new Map(this.#gates.common.map((gate) => [gateKey(gate), gate.isShut]))
    for (const gate of common) {
      const { limit, lanes, value, measured, because, isShut } = gate
      if (isShut === (were.get(gateKey(gate)) ?? false)) continue
      const facts = { limit, lanes, value, measured }
      if (isShut) this.#deps.log.warn({ ...facts, because }, 'doors refuse events')
      else this.#deps.log.info(facts, 'doors take events again')
    }
  }
}
