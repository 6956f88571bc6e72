import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { siblingEntry } from '../../../shared/runtime/source-entry.ts'
import { openBareModel } from '../suite/bare-model.ts'
import { addFlightRoute } from './flight-route.ts'
import { readTask } from './peer-task.ts'

// No queue at all: what is under way is lost with the process. The load comes from a process of its own.

const task = readTask()
const model = await openBareModel(join(task.models, DEMO_MODEL, '2', 'model.onnx'))
const server = Fastify()
addFlightRoute(server, model)
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
