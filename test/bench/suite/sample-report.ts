import type { BenchReport } from './report.ts'
import type { ScenarioResult } from './result.ts'

/** A report for tests. */
export function sampleReport(results: readonly ScenarioResult[]): BenchReport {
  return {
    kind: 'pelton-bench',
    machine: {
      processor: 'Abacus',
      cores: 2,
      memoryGiB: 24,
      system: 'Linux 6',
      node: 'v20.19.0',
      natsServer: '2.15.1',
      load: [0, 0, 0],
      busy: 0,
    },
    checkout: 'abc1234',
    versions: { 'onnxruntime-node': '1.30.0' },
    at: '2026-11-29T12:00:00.000Z',
    results: results.map((result) => ({ ...result, ratios: [] })),
  }
}
