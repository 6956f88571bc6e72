import type { BrokerLook } from '../../../shared/operations/broker/broker-look.ts'
import {
  latestWriter,
  livesMs,
  mustLiveMs,
  type RegisterState,
  registerNeeds,
  registerState,
  wantedSettings,
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

/** Results a second, look after look. */
export class ResultRate {
  #sights: readonly Sight[] = []

  /** @returns results a second over the last minute at least; 0 before there was one, and in a stream that was made anew */
  add({ created: epoch, ts, state }: StreamInfo): number {
    const now: Sight = { at: Date.parse(ts), lastSequence: state.last_seq, epoch }
    const before = this.#sights.filter((sight) => sight.epoch === epoch && sight.at < now.at)
    // Of what is older than a minute the youngest is kept: a burst of seconds is no rate.
    const old = before.filter(({ at }) => now.at - at >= RATE_OVER_MS)
    const first = old.at(-1)
    this.#sights = [...before.slice(Math.max(0, old.length - 1)), now]
    if (first === undefined) return 0
    return (Math.max(0, now.lastSequence - first.lastSequence) * 1_000) / (now.at - first.at)
  }
}

/** Whether RESULTS forgets outcomes while an event of theirs may still be answered: look after look, by the rate of a minute. */
export class RegisterLook {
  readonly #resendMs: number
  readonly #rate = new ResultRate()

  /** @param resendMs the resend horizon of producers */
  constructor(resendMs: number) {
    this.#resendMs = resendMs
  }

  look({ infos, lists }: Pick<BrokerLook, 'infos' | 'lists'>): readonly NewAlert[] {
    const info = infos.get(STREAMS.results)
    if (info === undefined) return []
    const consumers = [...lists.values()].flatMap((list) => list.consumers)
    const writer = latestWriter(consumers, this.#resendMs)
    const perSecond = this.#rate.add(info)
    const state = registerState(info)
    const lives = livesMs(state, perSecond)
    if (lives >= mustLiveMs(writer)) return []
    return [shortAlert(perSecond, lives, state, registerNeeds(perSecond, writer))]
  }
}

function shortAlert(
  perSecond: number,
  lives: number,
  state: RegisterState,
  needs: ReturnType<typeof registerNeeds>,
): NewAlert {
  const { messages, ageMs, memoryBytes } = needs
  const rate = perSecond > 0 ? `at ${showCount(perSecond)} results a second ` : ''
  const bytes = wantedSettings(state, needs).find(({ setting }) => setting === 'PELTON_RESULTS_MAX_BYTES')
  const alsoBytes = bytes && `, ${bytes.setting} ${bytes.value || 'more than now'}`
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
    remedy: `${enough}${alsoBytes ?? ''}, PELTON_RESULTS_MAX_AGE_MS ${ageMs} or more; then run \`pelton provision\`.`,
    count: 0,
  }
}
