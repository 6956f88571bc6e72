const PRELOAD = new URL('./shifted-clock.mjs', import.meta.url).href
/** Path of libfaketime.so.1 (Debian package `libfaketime`): then the clock is wrong for every thread and for C too. */
const FAKETIME = process.env.PELTON_FAULTS_FAKETIME

/** How the clock is made wrong, for the table. */
export const WRONG_BY = FAKETIME === undefined ? 'Date shifted' : 'libfaketime'

/** Environment of a worker whose wall clock is ahead by this much, or behind where it is negative. */
export function wrongClock(aheadMs: number): NodeJS.ProcessEnv {
  if (FAKETIME === undefined)
    return {
      NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${PRELOAD}`.trim(),
      PELTON_FAULTS_CLOCK_MS: String(aheadMs),
    }
  const seconds = Math.round(aheadMs / 1_000)
  return {
    LD_PRELOAD: FAKETIME,
    FAKETIME: seconds < 0 ? String(seconds) : `+${seconds}`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}
