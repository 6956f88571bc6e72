import { parentPort, workerData } from 'node:worker_threads'
import { type Features, openBareModel } from '../suite/bare-model.ts'

// A model in the bare runtime in a thread: takes the JSON of an event, answers with the JSON of its outputs.

const { path } = workerData as { readonly path: string }
const model = await openBareModel(path)
parentPort?.on('message', async (payload: string) => {
  const { features } = JSON.parse(payload) as { readonly features: Features }
  const outputs = await model.run(model.feeds([features]))
  parentPort?.postMessage(
    JSON.stringify(outputs.map(({ data }) => Array.from(data as Iterable<unknown>, Number))),
  )
})
