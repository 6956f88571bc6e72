import { fileURLToPath } from 'node:url'
import type { FlightEvent } from '../../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import { type Features, openBareModel } from '../../bench/suite/bare-model.ts'
import { MODEL_PATH } from '../../bench/suite/workplace.ts'
import type { ScenarioModel } from '../contestants/contestant.ts'
import type { ModelName } from '../options.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))

export const MODELS: Readonly<Record<ModelName, ScenarioModel>> = {
  deep: { name: 'flight-delay-deep', folder: HERE, path: `${HERE}flight-delay-deep/1/model.onnx` },
  light: { name: DEMO_MODEL, folder: DEMO_MODELS, path: MODEL_PATH },
}

const BATCHES = [1, 8, 32] as const
const RUNS = 7

/** Milliseconds of a row on one thread of the bare runtime, by the size of the batch: the best of a few runs. */
export async function rowCosts(
  { path }: ScenarioModel,
  flights: readonly FlightEvent[],
): Promise<Readonly<Record<string, number>>> {
  const model = await openBareModel(path)
  const costs: [string, number][] = []
  for (const rows of BATCHES) {
    const feeds = model.feeds(flights.slice(0, rows).map(({ features }): Features => ({ ...features })))
    let best = Number.POSITIVE_INFINITY
    for (let run = 0; run < RUNS; run++) {
      const startedAt = performance.now()
      await model.run(feeds)
      best = Math.min(best, performance.now() - startedAt)
    }
    costs.push([String(rows), best / rows])
  }
  return Object.fromEntries(costs)
}
