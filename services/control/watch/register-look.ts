import type { NatsConnection } from '@nats-io/transport-node'
import {
  livesMs,
  mustLiveMs,
  readLatestWriter,
  registerNeeds,
  registerState,
} from '../../../shared/operations/broker/register-life.ts'
import type { NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import { showBytes, showCount, showDuration } from '../../../shared/runtime/quantities.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { StreamInfo } from '../../../shared/sdk/jetstream/api.ts'

/** A rate of less than this is a burst: RESULTS is sized for what lasts, milliseconds. */
const RATE_OVER_MS = 60_000

interface Sight {
  /** Broker time, milliseconds since 1970. */
  readonly at: number
  readonly lastSequence: number
  readonly epoch: string
}

/** Whether RESULTS forgets outcomes while an event of theirs may still be answered: look after look, by the rate of a minute. */
export class RegisterLook {
  readonly #connection: NatsConnection
  readonly #resendMs: number
  #sights: readonly Sight[] = []

  /** @param resendMs how late a producer may send an event again */
  constructor(connection: NatsConnection, resendMs: number) {
    this.#connection = connection
    this.#resendMs = resendMs
  }

  /**
   * @param info of RESULTS as this look found it
   * @throws PeltonError `broker-unavailable`
   */
  async look(info: StreamInfo | undefined): Promise<readonly NewAlert[]> {
    if (info === undefined) return []
    const writer = await readLatestWriter(this.#connection, this.#resendMs)
    const perSecond = this.#see(info)
    const lives = livesMs(registerState(info), perSecond)
    const must = mustLiveMs(writer)
    return lives >= must ? [] : [shortAlert(perSecond, lives, registerNeeds(perSecond, writer))]
  }

  /** @returns results a second over the last minute; 0 before there is one */
  #see({ created: epoch, ts, state }: StreamInfo): number {
    const now: Sight = { at: Date.parse(ts), lastSequence: state.last_seq, epoch }
    const before = this.#sights.filter((sight) => sight.epoch === epoch && sight.at < now.at)
    // Of what is older than a minute the youngest is kept: the rate is over a minute at least.
    const old = before.filter(({ at }) => now.at - at >= RATE_OVER_MS)
    const first = old.at(-1)
    this.#sights = [...before.slice(Math.max(0, old.length - 1)), now]
    if (first === undefined) return 0
    return (Math.max(0, now.lastSequence - first.lastSequence) * 1_000) / (now.at - first.at)
  }
}

function shortAlert(
  perSecond: number,
  lives: number,
  { messages, ageMs, memoryBytes }: ReturnType<typeof registerNeeds>,
): NewAlert {
  const rate = perSecond > 0 ? `at ${showCount(perSecond)} results a second ` : ''
  const enough =
    perSecond > 0
      ? `PELTON_RESULTS_MAX_MESSAGES must be ${showCount(messages)} or more at this rate (${showBytes(memoryBytes)} of broker memory)`
      : 'Raise PELTON_RESULTS_MAX_MESSAGES, as `pelton doctor --rate <n>` works out'
  return {
    kind: 'register-too-short',
    about: STREAMS.results,
    text:
      `${rate}an outcome is remembered for ${showDuration(lives)}, and a late writer may take ${showDuration(ageMs)}: ` +
      'an event that comes again after that is predicted again',
    remedy: `${enough}, PELTON_RESULTS_MAX_AGE_MS ${ageMs} or more; then run \`pelton provision\`.`,
    count: 0,
  }
}
