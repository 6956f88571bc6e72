/** What {@link readMoment} reads, for the message to an operator who wrote something else. */
export const MOMENT_FORM = 'a time like 2026-01-31T12:00:00Z, or how long ago: 90s, 15m, 2h, 7d'

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
type Unit = keyof typeof UNIT_MS

/**
 * Reads a moment: a date, or how long ago (`90s`, `15m`, `2h`, `7d`).
 *
 * @returns `undefined` for a text of another form
 */
export function readMoment(text: string, nowMs: number): Date | undefined {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (amount !== undefined && unit !== undefined)
    return new Date(nowMs - Number(amount) * UNIT_MS[unit as Unit])
  const time = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(time) ? undefined : new Date(time)
}
