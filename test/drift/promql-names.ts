/** A metric that a PromQL expression selects, and the labels it selects by. */
export interface Selector {
  readonly name: string
  readonly labels: readonly string[]
}

const WORDS = new Set(
  'and or unless by without on ignoring group_left group_right bool offset inf nan start end'.split(' '),
)

/**
 * The selectors of an expression. No parser: strings, ranges and lists of labels are taken away; of what is left, a name
 * that is no function and no keyword is a metric.
 */
export function selectorsOf(expr: string): readonly Selector[] {
  const found: Selector[] = []
  const plain = expr
    .replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '""')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '')
  const names = /(?<![\w.:])([a-zA-Z_:][\w:]*)\s*(\(|\{[^}]*\})?/g
  for (const [, name = '', after = ''] of plain.matchAll(names)) {
    if (after === '(' || WORDS.has(name.toLowerCase())) continue
    const labels = [...after.matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label)
    found.push({ name, labels })
  }
  return found
}
