// Loaded with `--import` into a worker: its wall clock is wrong by PELTON_FAULTS_CLOCK_MS. Only `Date` of the main thread
// is shifted, which is where Pelton asks for the time; the monotonic clock and native code keep theirs.
const shiftMs = Number(process.env.PELTON_FAULTS_CLOCK_MS)
const RealDate = globalThis.Date

globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(RealDate.now() + shiftMs)
    else super(...given)
  }

  static now() {
    return RealDate.now() + shiftMs
  }
}
