import { type Attributes, type MetricOptions, metrics } from '@opentelemetry/api'
import { histogramOf } from './histograms.ts'
import { type KeyOf, METRICS, type Metric, type MetricKey, type MetricSource } from './metrics.ts'

/** Label values of one series. */
export type Labels = Attributes

/** Reports the value of one series. */
export type Report = (value: number, labels?: Labels) => void

/** The instruments of one process, by their key in the table. Where metrics are off, none should be opened. */
export interface Meters {
  /** Adds to a counter. */
  counter(key: KeyOf<'counter'>): Report
  /** Records a value, in the unit of the table. */
  histogram(key: KeyOf<'histogram'>): Report
  /** Asked at every reading: reports each series once. A reading waits for a promise. */
  gauge(key: KeyOf<'gauge'>, read: (report: Report) => void | Promise<void>): void
}

/**
 * Counters and gauges at the OpenTelemetry API, no-ops unless `startTelemetry` came first; histograms beside it,
 * because they are filled for each event (`histograms.ts`).
 *
 * @throws Error for a key the table does not give to this source: a defect, seen at the start
 */
export function openMeters(source: MetricSource): Meters {
  const meter = metrics.getMeter('pelton')
  const find = (key: MetricKey): Metric => {
    const metric: Metric = METRICS[key]
    if (metric.sources.includes(source)) return metric
    throw new Error(`the table of metrics has no ${key} for ${source}`)
  }
  return {
    counter(key) {
      const metric = find(key)
      const instrument = meter.createCounter(metric.name, optionsOf(metric))
      return (value, labels) => instrument.add(value, labels)
    },
    histogram(key) {
      const histogram = histogramOf(find(key))
      return (value, labels = NO_LABELS) => histogram.record(value, labels)
    },
    gauge(key, read) {
      const metric = find(key)
      const instrument = meter.createObservableGauge(metric.name, optionsOf(metric))
      instrument.addCallback((result) => read((value, labels) => result.observe(value, labels)))
    },
  }
}

const NO_LABELS: Labels = {}

function optionsOf({ unit, description }: Metric): MetricOptions {
  return { unit, description }
}
