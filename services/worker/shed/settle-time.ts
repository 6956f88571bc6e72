/** How much of each sample goes into the mean, and into its deviation. */
const [GAIN, DEVIATION_GAIN] = [1 / 8, 1 / 4]
/** Deviations above the mean that hold nearly all. */
const DEVIATIONS = 4

/**
 * How long storing predictions takes, so that nearly all take no longer: the mean and four mean deviations of the last ones, as
 * TCP waits for acknowledgements (Jacobson 1988, RFC 6298).
 */
export class SettleTime {
  #meanMs: number | undefined
  #deviationMs = 0

  /** @param ms from the end of a run to its first stored prediction */
  took(ms: number): void {
    const meanMs = this.#meanMs ?? ms
    // The first says nothing of how much they differ: by half, as RFC 6298 has it.
    const differsBy = this.#meanMs === undefined ? 2 * ms : Math.abs(ms - meanMs)
    this.#deviationMs += DEVIATION_GAIN * (differsBy - this.#deviationMs)
    this.#meanMs = meanMs + GAIN * (ms - meanMs)
  }

  /** Milliseconds; 0 before the first. */
  get ms(): number {
    return (this.#meanMs ?? 0) + DEVIATIONS * this.#deviationMs
  }
}
