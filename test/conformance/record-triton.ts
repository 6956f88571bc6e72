import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startRecorder } from './exchanges.ts'
import { openTritonStage } from './triton-stage.ts'

// By hand: node --import tsx test/conformance/record-triton.ts FOLDER [PYTHON], with the folder that holds `tritonclient/`.
const [folder = '', python = '/usr/bin/python3'] = process.argv.slice(2)
execFileSync(python, ['-c', 'import gevent, geventhttpclient, numpy, rapidjson'])
const stage = await openTritonStage()
const recorder = await startRecorder(stage.url)
const calls = spawn(python, [join(import.meta.dirname, 'triton-calls.py'), folder, recorder.address], {
  stdio: 'inherit',
})
const [code] = await once(calls, 'exit')
recorder.server.closeAllConnections()
recorder.server.close()
await stage.close()
if (code === 0) {
  const about =
    'What the unmodified Python HTTP client of Triton sent for triton-calls.py, and what it was answered. Written by record-triton.ts.'
  const lines = recorder.exchanges.map((exchange) => `    ${JSON.stringify(exchange)}`)
  const text = `{\n  "about": ${JSON.stringify(about)},\n  "exchanges": [\n${lines.join(',\n')}\n  ]\n}\n`
  await writeFile(join(import.meta.dirname, 'triton-client.fixture.json'), text)
}
process.exitCode = code as number
