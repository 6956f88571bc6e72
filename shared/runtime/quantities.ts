/** A whole number with its thousands apart: `1,234,567`. */
export function showCount(value: number): string {
  const count = Math.round(value)
  // The tables of a language take longer to load than many a command takes.
  return Math.abs(count) < 1_000 ? String(count) : count.toLocaleString('en-US')
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** A size for people: `1.5 MiB`. */
export function showBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${UNITS[unit]}`
}

/** A duration for people: `850 ms`, `12.5 s`, `3 min`, `2.0 h`, `4.2 d`. */
export function showDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`
  return ms < 172_800_000 ? `${(ms / 3_600_000).toFixed(1)} h` : `${(ms / 86_400_000).toFixed(1)} d`
}

/** A share of 1 for people: `12 %`, `0.4 %`. */
export function showShare(share: number): string {
  return `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`
}
