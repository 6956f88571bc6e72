import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { siblingEntry } from '../../../shared/runtime/source-entry.ts'
import { type Features, openBareModel } from '../suite/bare-model.ts'
import { readTask } from './peer-task.ts'

// No queue at all: a request, the model, an answer, as the framework's documentation has it, schemas for both. What is under
// way is lost with the process. The load comes from a process of its own.

const INPUTS = { text: ['origin', 'destination'], whole: ['hour', 'weekday', 'distance'] } as const
const FLOATS = ['origin_delay', 'inbound_delay', 'destination_delay', 'route_delay', 'origin_departures']

const of = (names: readonly string[], type: string): Record<string, { type: string }> =>
  Object.fromEntries(names.map((name) => [name, { type }]))
const features = {
  type: 'object',
  required: [...INPUTS.text, ...INPUTS.whole, ...FLOATS],
  properties: { ...of(INPUTS.text, 'string'), ...of(INPUTS.whole, 'integer'), ...of(FLOATS, 'number') },
}
const schema = {
  body: { type: 'object', required: ['features'], properties: { features } },
  response: { 200: { type: 'object', properties: of(['label', 'probability'], 'number') } },
}

const task = readTask()
const model = await openBareModel(join(task.models, DEMO_MODEL, '2', 'model.onnx'))
const server = Fastify()
server.post<{ Body: { features: Features } }>('/predict', { schema }, async ({ body }) => {
  const outputs = await model.run(model.feeds([body.features]))
  return Object.fromEntries(model.outputs.map((name, at) => [name, Number(outputs[at]?.data[0])]))
})
const address = await server.listen({ host: '127.0.0.1', port: 0 })

const { url, execArgv } = siblingEntry(import.meta.url, 'http-load-process')
const load = spawn(process.execPath, [...execArgv, fileURLToPath(url), `${address}/predict`], {
  stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
})
// That it is ready is said below.
load.on('message', (message) => {
  if (!('kind' in (message as object))) process.send?.(message)
})
process.on('SIGTERM', () => load.kill('SIGKILL'))
process.send?.({ kind: 'state', state: 'ready', generator: load.pid })
await once(load, 'exit')
process.exit(0)
