/** One line of a scrape. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface ScrapedMetric {
  readonly help: string
  readonly type: string
  readonly samples: Sample[]
}

export interface Scrape {
  readonly metrics: ReadonlyMap<string, ScrapedMetric>
  /** Every sample of this name, `_sum`, `_count` and `_bucket` included. */
  samples(name: string): readonly Sample[]
  /** The sum of the samples with these labels; undefined where there is none. */
  value(name: string, labels: Readonly<Record<string, string>>): number | undefined
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/g

/** Reads Prometheus text (version 0.0.4). @throws Error for a line that is none, or a sample before its metric */
export function readPrometheus(text: string): Scrape {
  const metrics = new Map<string, ScrapedMetric>()
  const seen = new Set<string>()
  let help: readonly [name: string, text: string] | undefined
  let current: readonly [name: string, metric: ScrapedMetric] | undefined
  for (const line of text.split('\n')) {
    const [, word, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (word === 'HELP') help = [name, rest]
    else if (word === 'TYPE') {
      if (metrics.has(name)) throw new Error(`${name} stands twice`)
      const metric = { help: help?.[0] === name ? help[1] : '', type: rest, samples: [] }
      metrics.set(name, metric)
      current = [name, metric]
    } else if (line.trim() !== '') {
      const sample = readSample(line)
      const key = `${sample.name}${JSON.stringify(Object.entries(sample.labels).sort())}`
      if (seen.has(key)) throw new Error(`a series stands twice: ${line}`)
      seen.add(key)
      if (current === undefined || !sample.name.startsWith(current[0]))
        throw new Error(`of no metric: ${line}`)
      current[1].samples.push(sample)
    }
  }
  const all = [...metrics.values()].flatMap(({ samples }) => samples)
  const samples = (name: string): Sample[] => all.filter((sample) => sample.name === name)
  return {
    metrics,
    samples,
    value: (name, labels) => {
      const found = samples(name).filter((sample) =>
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      )
      return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0)
    },
  }
}

function readSample(line: string): Sample {
  const [, name, labels = '', value] = LINE.exec(line) ?? []
  if (name === undefined || value === undefined) throw new Error(`no line of Prometheus: ${line}`)
  const pairs = [...labels.matchAll(LABEL)].map(([, label = '', text = '']) => [
    label,
    text.replace(/\\(.)/g, '$1'),
  ])
  return { name, labels: Object.fromEntries(pairs), value: value === '+Inf' ? Infinity : Number(value) }
}
