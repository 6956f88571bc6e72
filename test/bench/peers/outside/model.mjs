import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'

// The model in the bare runtime for programs beside Pelton, as bare-model.ts has it: they import nothing of ours.

/** What the bench tells: `warmUp`, `events`, `flights` (JSON file), `models` (folder); `path` where it is another model. */
export const task = JSON.parse(process.env.PELTON_BENCH_TASK ?? '{}')
export const flights = JSON.parse(readFileSync(task.flights, 'utf8'))

const path = task.path ?? join(task.models, 'flight-delay', '2', 'model.onnx')

/** Resolves to a function that predicts one flight. */
export async function openModel() {
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const session = await InferenceSession.create(path, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
  return async (features) => {
    const feeds = {}
    for (const { name, type } of session.inputMetadata)
      feeds[name] = new Tensor(type, columnOf(type, features[name]), [1, 1])
    const outputs = await session.run(feeds)
    return Object.fromEntries(session.outputNames.map((name) => [name, Number(outputs[name].data[0])]))
  }
}

function columnOf(type, value) {
  if (type === 'string') return [value]
  return type === 'int64' ? BigInt64Array.of(BigInt(value)) : Float32Array.of(value)
}

/** Says that all is warm, or done. */
export function reportMilestone(state, answered) {
  process.send?.({ state, answered, atMs: performance.now() })
}
