import { parentPort, workerData } from 'node:worker_threads'
import { Tensor } from 'onnxruntime-node'
import { openBareModel } from '../suite/bare-model.ts'
import { INPUT } from '../suite/onnx-file.ts'

const { path, rows } = workerData as { readonly path: string; readonly rows: number }
const model = await openBareModel(path)
const feeds = { [INPUT]: new Tensor('float32', new Float32Array(rows).fill(0.5), [rows, 1]) }
for (;;) {
  await model.run(feeds)
  parentPort?.postMessage(rows)
}
