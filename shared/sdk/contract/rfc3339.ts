const RFC_3339 =
  /^(\d{4})-(0[1-9]|1[0-2])-(\d{2})[Tt]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)(\.\d+)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/**
 * Reads an RFC 3339 time. A leap second (`:60`) is the moment after the second before it, as clocks have it.
 *
 * @returns milliseconds since 1970; undefined for another form, and for a day its month does not have
 */
export function readRfc3339(text: string): number | undefined {
  const [, year, month, day, minutes, second, fraction = '', zone = ''] = RFC_3339.exec(text) ?? []
  if (Number(day) < 1 || !(Number(day) <= daysIn(Number(year), Number(month)))) return undefined
  const isLeap = second === '60'
  const at = `${year}-${month}-${day}T${minutes}:${isLeap ? '59' : second}${fraction}${zone.toUpperCase()}`
  return Date.parse(at) + (isLeap ? 1_000 : 0)
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return [4, 6, 9, 11].includes(month) ? 30 : 31
}
