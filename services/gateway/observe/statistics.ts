import type { EndedRequest } from '../core/figures.ts'

/** How often something was measured, and how long it took in all, nanoseconds. */
export interface DurationStatistic {
  readonly count: number
  readonly ns: number
}

/**
 * What this gateway has seen of a model's version since it started, as the statistics extension of the Open Inference
 * Protocol has it. What is not measured here has a `count` of 0: preparing inputs and outputs is a part of
 * `compute_infer`, and no answer comes from a cache.
 */
export interface ModelStatistics {
  readonly name: string
  /** Absent for requests that ended before their version was known: dead letters, refusals, timeouts. */
  readonly version?: string
  /** Rows that were predicted; a request whose rows its protocol does not know counts as one. */
  readonly inference_count: number
  /** Model calls they took: of a call that was shared with others, their share of its rows. */
  readonly execution_count: number
  /** When the last request ended, milliseconds since 1970; 0 where there was none. */
  readonly last_inference: number
  readonly inference_stats: Readonly<Record<StatisticName, DurationStatistic>>
  /** Always empty: sizes of batches are in `pelton_batch_rows` of the workers. */
  readonly batch_stats: readonly never[]
}

const NAMES = [
  'success',
  'fail',
  'queue',
  'compute_input',
  'compute_infer',
  'compute_output',
  'cache_hit',
  'cache_miss',
] as const

type StatisticName = (typeof NAMES)[number]

/** Versions of models that have statistics at most: of more, those asked for longest ago make room. */
const MOST_VERSIONS = 1_024

const NS_PER_MS = 1_000_000

interface Sums {
  readonly name: string
  readonly version: string | undefined
  rows: number
  runs: number
  lastAt: number
  readonly stats: Record<StatisticName, { count: number; ns: number }>
}

/** Statistics of the requests for predictions that ended, in memory. */
export interface Statistics {
  /** @param at milliseconds since 1970 */
  add(model: string, request: EndedRequest, at: number): void
  read(model?: string, version?: string): readonly ModelStatistics[]
}

export function createStatistics(most = MOST_VERSIONS): Statistics {
  const known = new Map<string, Sums>()
  /** Of the last request: mostly the next one is for the same. */
  let last: Sums | undefined
  const sumsOf = (model: string, version: string | undefined): Sums => {
    const key = keyOf(model, version)
    let sums = known.get(key)
    if (sums === undefined) {
      if (known.size >= most) known.delete(longestAgo(known))
      sums = noSums(model, version)
      known.set(key, sums)
    }
    return sums
  }
  return {
    add(model, request, at) {
      const { modelVersion } = request
      if (last?.name !== model || last.version !== modelVersion) last = sumsOf(model, modelVersion)
      addTo(last, request)
      last.lastAt = at
    },
    read: (model, version) =>
      [...known.values()]
        .filter((sums) => model === undefined || sums.name === model)
        .filter((sums) => version === undefined || sums.version === version)
        .map(show),
  }
}

/** Of two parts that may be any text: a name that ends as a version begins is another one. */
function keyOf(model: string, version: string | undefined): string {
  return `${model.length} ${model} ${version ?? ''}`
}

/**
 * The one that was asked for longest ago. It is looked for where there are too many: a map in the order of the last requests would be
 * another one every few requests, and V8 keeps each of those for as long as the one before it.
 */
function longestAgo(known: ReadonlyMap<string, Sums>): string {
  let [oldest, at] = ['', Number.POSITIVE_INFINITY]
  for (const [key, { lastAt }] of known) if (lastAt < at) [oldest, at] = [key, lastAt]
  return oldest
}

/** The statistics of a version that nobody has asked for yet. */
export function noStatistics(name: string, version: string): ModelStatistics {
  return show(noSums(name, version))
}

function noSums(name: string, version: string | undefined): Sums {
  const stats = Object.fromEntries(NAMES.map((each) => [each, { count: 0, ns: 0 }])) as Sums['stats']
  return { name, version, rows: 0, runs: 0, lastAt: 0, stats }
}

function addTo(sums: Sums, { ended, durationMs, queueMs, inferenceMs, rows, batchRows }: EndedRequest): void {
  // What is answered later is neither yet: its outcome is not seen here.
  if (ended === 'accepted') return
  measure(sums.stats[ended === 'prediction' ? 'success' : 'fail'], durationMs)
  if (ended !== 'prediction') return
  measure(sums.stats.queue, queueMs)
  measure(sums.stats.compute_infer, inferenceMs)
  sums.rows += rows ?? 1
  sums.runs += shareOfRun(rows, batchRows)
}

function measure(stat: { count: number; ns: number }, ms: number | undefined): void {
  if (ms === undefined) return
  stat.count++
  stat.ns += Math.max(0, Math.round(ms * NS_PER_MS))
}

/** Requests that shared a model call count as one together. */
function shareOfRun(rows: number | undefined, batchRows: number | undefined): number {
  return rows === undefined || batchRows === undefined || batchRows <= rows ? 1 : rows / batchRows
}

function show({ name, version, rows, runs, lastAt, stats }: Sums): ModelStatistics {
  return {
    name,
    ...(version !== undefined && { version }),
    inference_count: rows,
    execution_count: Math.ceil(roundOff(runs)),
    last_inference: lastAt,
    inference_stats: Object.fromEntries(NAMES.map((each) => [each, { ...stats[each] }])) as Sums['stats'],
    batch_stats: [],
  }
}

/** Ten tenths are one. */
function roundOff(sum: number): number {
  return Math.round(sum * 1e6) / 1e6
}
