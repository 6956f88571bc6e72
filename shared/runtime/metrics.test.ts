import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { openMeters } from './meters.ts'
import { METRICS, type Metric, metricsTable, prometheusName } from './metrics.ts'

const all: readonly Metric[] = Object.values(METRICS)
const PAGE = new URL('../../docs/telemetry.md', import.meta.url)
const TABLE = /(<!-- metrics: begin -->\n\n)[\s\S]*?(\n\n<!-- metrics: end -->)/

describe('the table of metrics', () => {
  it('names each metric once', () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length)
    expect(new Set(all.map(({ prometheus }) => prometheus)).size).toBe(all.length)
  })

  it.each(all.map((metric) => [metric.prometheus, metric] as const))(
    '%s is named as Prometheus asks',
    (name, metric) => {
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/)
      expect(name.endsWith('_total')).toBe(metric.kind === 'counter')
      if (metric.unit === 's') expect(name).toMatch(/_seconds(_total)?$/)
      if (metric.unit === 'By') expect(name).toMatch(/_bytes(_total)?$/)
      // Not milliseconds, not kilobytes; what is counted stands in braces.
      expect(metric.unit).toMatch(/^(s|By|1|\{[a-z]+\})$/)
      expect(metric.buckets ?? []).toEqual([...(metric.buckets ?? [])].sort((a, b) => a - b))
      expect(prometheusName(metric.name)).toBe(name)
    },
  )

  it('keeps the names of the exporter of NATS', () => {
    expect(
      all.filter(({ name }) => name.startsWith('jetstream')).map(({ prometheus }) => prometheus),
    ).toEqual([
      'jetstream_stream_total_messages',
      'jetstream_stream_total_bytes',
      'jetstream_stream_limit_messages',
      'jetstream_stream_limit_bytes',
      'jetstream_consumer_num_pending',
      'jetstream_consumer_num_ack_pending',
      'jetstream_consumer_num_redelivered',
    ])
  })

  it('stands in docs/telemetry.md as it is here (UPDATE_DOCS=1 writes it)', async () => {
    const page = await readFile(PAGE, 'utf8')
    const current = page.replace(TABLE, (_all, begin, end) => `${begin}${metricsTable()}${end}`)
    if (process.env.UPDATE_DOCS === '1') await writeFile(PAGE, current)
    else expect(page).toBe(current)
    expect(page).toMatch(TABLE)
  })
})

describe('openMeters', () => {
  it('refuses what the table gives to another source', () => {
    expect(() => openMeters('control').counter('outcomes')).toThrow(/no outcomes for control/)
    expect(() => openMeters('worker').gauge('orphans', () => undefined)).toThrow(/no orphans for worker/)
  })
})
