/** How often something was measured, and how long it took in all, nanoseconds. */
interface DurationStatistic {
  readonly count: number
  readonly ns: number
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

/** Statistics of a version of a model, as Triton's statistics extension writes them. */
export interface ModelStatistics {
  readonly name: string
  readonly version?: string | undefined
  readonly inference_count: number
  readonly execution_count: number
  /** Milliseconds since 1970. */
  readonly last_inference: number
  readonly inference_stats: Readonly<Record<(typeof NAMES)[number], DurationStatistic>>
  readonly batch_stats: readonly unknown[]
}

/** Where the statistics extension has its figures from. */
export interface StatisticsSource {
  /** Of all versions that were asked for, of those of one model, or of one version of it. */
  statistics(model?: string, version?: string): readonly ModelStatistics[]
}

/** Whether figures can be asked for statistics, too. */
export function isStatisticsSource(figures: object): figures is StatisticsSource {
  return typeof (figures as Partial<StatisticsSource>).statistics === 'function'
}

/** The statistics of a version that nobody has asked for yet. */
export function noStatistics(name: string, version: string): ModelStatistics {
  const stats = Object.fromEntries(NAMES.map((each) => [each, { count: 0, ns: 0 }]))
  return {
    ...{ name, version, inference_count: 0, execution_count: 0, last_inference: 0 },
    inference_stats: stats as ModelStatistics['inference_stats'],
    batch_stats: [],
  }
}
