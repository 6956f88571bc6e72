const wide = new Float64Array(1)
const words = new Uint32Array(wide.buffer)

/** Magnitudes from here on round to infinity: half a step above the largest finite value, 65504. */
const OVERFLOW = 65520
const SMALLEST_NORMAL = 2 ** -14

/**
 * The bits of the 16-bit float nearest to `value`, ties to even, in one rounding. Magnitudes of 65520 and above become
 * infinity, NaN the canonical quiet NaN `0x7e00`.
 */
export function toHalfBits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (magnitude >= OVERFLOW) return sign | 0x7c00
  if (magnitude < SMALLEST_NORMAL) return sign | roundToEven(magnitude * 2 ** 24)
  wide[0] = magnitude
  const exponent = ((words[1] ?? 0) >>> 20) - 1023
  // The significand has its leading 1 at bit 10, which adds one to the exponent field; so may the rounding.
  return sign | (((exponent + 14) << 10) + roundToEven(magnitude * 2 ** (10 - exponent)))
}

/** The value of a 16-bit float, exactly; every NaN becomes the one NaN of JavaScript. */
export function fromHalfBits(bits: number): number {
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}
