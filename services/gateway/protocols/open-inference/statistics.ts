import type { ModelStatistics } from '../../observe/statistics.ts'

/** Where the statistics extension has its figures from. */
export interface StatisticsSource {
  /** Of all versions that were asked for, of those of one model, or of one version of it. */
  statistics(model?: string, version?: string): readonly ModelStatistics[]
}

/** Whether figures can be asked for statistics, too. */
export function isStatisticsSource(figures: object): figures is StatisticsSource {
  return typeof (figures as Partial<StatisticsSource>).statistics === 'function'
}
