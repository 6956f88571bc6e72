/** What systems and tools leave beside models. No model has such a name. */
const NOISE: ReadonlySet<string> = new Set([
  'lost+found', // root of an ext4 volume
  '@eaDir', // Synology
  '#recycle',
  '#snapshot',
  '$RECYCLE.BIN',
  'System Volume Information',
  '__MACOSX',
  '__pycache__',
  'node_modules',
])

/** Whether a folder is nobody's model: its name begins with a dot, or is one that systems give. */
export function isNoise(name: string): boolean {
  return name.startsWith('.') || NOISE.has(name)
}

/** Whether a folder of a model is a version: a positive integer without leading zeros. */
export function isVersion(name: string): boolean {
  return /^[1-9]\d{0,14}$/.test(name)
}

/** The version a folder was probably meant to be: `3` for `v3`, `1` for `001`, `20260131` for `2026-01-31`. */
export function meantVersion(name: string): string | undefined {
  const [, plain] = /^(?:v|version|ver)?[._-]?0*([1-9]\d{0,14})$/i.exec(name) ?? []
  if (plain !== undefined) return plain
  const [, year, month, day] = /^(\d{4})[-._](\d{2})[-._](\d{2})$/.exec(name) ?? []
  return year === undefined ? undefined : `${year}${month}${day}`
}

/**
 * One line about folders beside or instead of versions, which nobody serves; undefined where there are none. Folders without
 * a digit in their name are for the model's own use (`assets`, `variables`) and go without saying.
 *
 * @param names folders of a model that are no versions
 */
export function describeUnversioned(names: readonly string[]): string | undefined {
  const told = names
    .filter((name) => !isNoise(name) && /\d/.test(name))
    .slice(0, 5)
    .map((name) => {
      const meant = meantVersion(name)
      return `version folder ${show(name)}: rename it to ${meant === undefined ? 'a positive integer' : show(meant)}`
    })
  return told.length === 0 ? undefined : told.join('; ')
}

function show(name: string): string {
  return JSON.stringify(name)
}
