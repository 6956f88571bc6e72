import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { type Features, openBareModel } from '../suite/bare-model.ts'
import { type PeerTask, readTask, reportMilestone } from './peer-task.ts'

// The model in the bare runtime and nothing else: tensors are made before, answers are dropped. Of some sizes of a batch the
// best is measured.

const SIZES = [1, 16, 64, 128, 256, 512, 1_024]
const TRY_MS = 150

const task: PeerTask = readTask()
const model = await openBareModel(join(task.models, DEMO_MODEL, '2', 'model.onnx'))
const rows = JSON.parse(readFileSync(task.flights, 'utf8')) as readonly Features[]
process.send?.({ kind: 'state', state: 'ready' })

async function run(size: number, rowsWanted: number, until = Number.POSITIVE_INFINITY): Promise<number> {
  const batches = Array.from({ length: Math.floor(rows.length / size) }, (_batch, at) =>
    model.feeds(rows.slice(at * size, (at + 1) * size)),
  )
  let done = 0
  for (let at = 0; done < rowsWanted && performance.now() < until; at = (at + 1) % batches.length) {
    await model.run(batches[at] ?? {})
    done += size
  }
  return done
}

async function bestSize(): Promise<number> {
  let best = { size: 1, rate: 0 }
  for (const size of SIZES) {
    await run(size, size) // the runtime allocates for a shape it has not seen
    const startedAt = performance.now()
    const done = await run(size, Number.POSITIVE_INFINITY, startedAt + TRY_MS)
    const rate = done / (performance.now() - startedAt)
    if (rate > best.rate) best = { size, rate }
  }
  return best.size
}

const size = await bestSize()
reportMilestone('warm', 0)
reportMilestone('done', await run(size, task.events), { settings: `batches of ${size}` })
setInterval(() => undefined, 1_000) // until it is ended: its processor time is read before
