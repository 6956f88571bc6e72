import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { INPUT, type Node, OUTPUT, onnxFile } from './onnx-file.ts'

/** Names of the features of a model of so many columns, in their order. */
export const featureNames = (columns: number): readonly string[] =>
  Array.from({ length: columns }, (_column, at) => `f${at}`)

/** A model that sums its columns: next to no work, so that what is around it shows. Rows do not touch each other. */
export async function writeSumModel(folder: string, name: string, columns: number): Promise<void> {
  const nodes = [{ type: 'ReduceSum', inputs: [INPUT], outputs: [OUTPUT], attributes: { axes: [1] } }]
  const manifest = `inputs:\n  ${INPUT}: { features: [${featureNames(columns).join(', ')}] }\n`
  await write(folder, name, onnxFile({ columns, nodes }), manifest)
}

/** A slow model spreads its one number over so many: a row of floats that stays in the nearest cache. */
const SPREAD = 32

/** A model whose run takes so long for each row, however many there are. @returns what it takes by itself now, ms */
export async function writeSlowModel(folder: string, name: string, rowMs: number): Promise<number> {
  const few = 40
  const steps = Math.max(1, Math.round((few * rowMs) / (await rowTime(slowModel(few)))))
  const bytes = slowModel(steps)
  await write(folder, name, bytes, '')
  return rowTime(bytes)
}

/** A chain of sines, and the sum of the last. */
function slowModel(steps: number): Buffer {
  const after = (step: number): string => `s${step}`
  const spread = (from: string, to: string): Node => ({
    type: 'Concat',
    inputs: Array.from({ length: SPREAD }, () => from),
    outputs: [to],
    attributes: { axis: 1 },
  })
  const sines = Array.from({ length: steps }, (_step, at): Node => {
    return { type: 'Sin', inputs: [after(at)], outputs: [after(at + 1)] }
  })
  const sum = { type: 'ReduceSum', inputs: [after(steps)], outputs: [OUTPUT], attributes: { axes: [1] } }
  return onnxFile({ columns: 1, nodes: [spread(INPUT, 'few'), spread('few', after(0)), ...sines, sum] })
}

const ROWS = 8
const RUNS = 9

/** Milliseconds a row on one thread: the best of a few runs, which nobody disturbed. */
async function rowTime(bytes: Buffer): Promise<number> {
  const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, interOpNumThreads: 1 })
  const x = new Tensor('float32', new Float32Array(ROWS).fill(0.5), [ROWS, 1])
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < RUNS; run++) {
    const startedAt = performance.now()
    await session.run({ [INPUT]: x })
    best = Math.min(best, performance.now() - startedAt)
  }
  await session.release()
  return best / ROWS
}

async function write(folder: string, name: string, bytes: Buffer, manifest: string): Promise<void> {
  const place = join(folder, name, '1')
  await mkdir(place, { recursive: true })
  await writeFile(join(place, 'model.onnx'), bytes)
  if (manifest !== '') await writeFile(join(place, 'manifest.yaml'), manifest)
}
