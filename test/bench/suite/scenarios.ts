import { peerRatios, type Ratio } from './bars.ts'
import type { BenchOptions, ScenarioName } from './options.ts'
import { measurePeers } from './peers.ts'
import type { ScenarioResult } from './result.ts'
import type { Workplace } from './workplace.ts'

interface Scenario {
  run(workplace: Workplace, options: BenchOptions): Promise<readonly ScenarioResult[]>
  /** What is to be said of its figures beside each other. */
  ratios(result: ScenarioResult): readonly Ratio[]
}

export const SCENARIOS: Readonly<Record<ScenarioName, Scenario>> = {
  peers: { run: measurePeers, ratios: peerRatios },
}
