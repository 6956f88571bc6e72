import { backlogRatios, measureBacklog } from './backlog.ts'
import { peerRatios, type Ratio } from './bars.ts'
import { binaryRatios, measureBinary } from './binary.ts'
import { gatewayRatios, measureGateway } from './gateway.ts'
import { heavyRatios, measureHeavy } from './heavy.ts'
import { latencyRatios, measureLatency } from './latency.ts'
import { measureModels, modelsRatios } from './models.ts'
import type { BenchOptions, ScenarioName } from './options.ts'
import { measurePeers } from './peers.ts'
import { measureRefusal, refusalRatios } from './refusal.ts'
import type { ScenarioResult } from './result.ts'
import { measureSdk, sdkRatios } from './sdk.ts'
import { measureSecurity, securityRatios } from './security.ts'
import { measureStages } from './stages.ts'
import type { Workplace } from './workplace.ts'

interface Scenario {
  run(workplace: Workplace, options: BenchOptions): Promise<readonly ScenarioResult[]>
  /** What is to be said of its figures beside each other. */
  ratios(result: ScenarioResult): readonly Ratio[]
}

export const SCENARIOS: Readonly<Record<ScenarioName, Scenario>> = {
  peers: { run: measurePeers, ratios: peerRatios },
  latency: { run: measureLatency, ratios: latencyRatios },
  models: { run: measureModels, ratios: modelsRatios },
  binary: { run: measureBinary, ratios: binaryRatios },
  heavy: { run: measureHeavy, ratios: heavyRatios },
  backlog: { run: measureBacklog, ratios: backlogRatios },
  sdk: { run: measureSdk, ratios: sdkRatios },
  security: { run: measureSecurity, ratios: securityRatios },
  gateway: { run: measureGateway, ratios: gatewayRatios },
  refusal: { run: measureRefusal, ratios: refusalRatios },
  stages: { run: measureStages, ratios: () => [] },
}
