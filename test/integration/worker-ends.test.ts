import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline } from '../kit/pipeline.ts'
import { programArgs } from '../kit/program.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import type { WorkerProcess } from '../kit/worker-process.ts'

const MODEL = 'loops-by-input'
const GRACE_MS = '2000'

const test = staged(openStage)

/** A pipeline whose model runs for as long as an event says, and may for ten minutes. */
async function openStage() {
  const folder = await modelsFolder([MODEL])
  await writeFile(join(folder.path, MODEL, 'manifest.yaml'), 'limits:\n  timeoutMs: 600000\n')
  const pipeline = await openPipeline({ models: folder.path })

  /** Publishes an event whose run never ends, and resolves when it is about to run. */
  async function hang(): Promise<void> {
    const token = 'endless'
    let isAboutToRun = false
    const marks = pipeline.connection.subscribe(subjects.startMark('*'), {
      callback: () => {
        isAboutToRun = true
      },
    })
    const body = { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1e18, 1] }] }
    // A second attempt: its start is marked before it runs.
    await pipeline.publish({ model: MODEL, id: token, body, headers: { [HEADERS.attempt]: '2' } })
    await eventually('the endless run to begin', () => isAboutToRun)
    marks.unsubscribe()
  }

  async function close(): Promise<void> {
    await pipeline.close()
    await folder.remove()
  }
  return { ...pipeline, models: folder.path, hang, close }
}

/** How a worker ended, and the exit code it told its supervisor. */
async function endOf({ ended, messages }: WorkerProcess): Promise<unknown> {
  return { ended: await ended, code: messages.find(({ kind }) => kind === 'ending')?.code }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe.concurrent('a worker with a run that never ends', () => {
  test('ends when its grace period is over', async ({ stage }) => {
    const worker = await stage.startWorker({ PELTON_GRACE_MS: GRACE_MS })
    await stage.hang()
    worker.kill('SIGTERM')
    expect(await endOf(worker)).toEqual({ ended: 'SIGKILL', code: 3 })
  })

  test('ends at a second signal', async ({ stage }) => {
    const worker = await stage.startWorker({ PELTON_GRACE_MS: '3600000' })
    await stage.hang()
    worker.kill('SIGTERM')
    await eventually('the worker to drain', () => worker.log.find(({ state }) => state === 'draining'))
    worker.kill('SIGINT')
    expect(await endOf(worker)).toEqual({ ended: 'SIGKILL', code: 3 })
  })

  test('ends where a stream it needs is made anew', async ({ stage }) => {
    const worker = await stage.startWorker()
    await stage.hang()
    const info = await streamInfo(stage.connection, STREAMS.retries)
    await requestApi(stage.connection, `STREAM.DELETE.${STREAMS.retries}`)
    await requestApi(stage.connection, `STREAM.CREATE.${STREAMS.retries}`, info?.config)
    expect(await endOf(worker)).toEqual({ ended: 'SIGKILL', code: 1 })
  })

  test('ends when its broker is gone and it is asked to', async ({ stage }) => {
    const worker = await stage.startWorker({ PELTON_GRACE_MS: GRACE_MS })
    await stage.hang()
    await stage.broker.kill()
    worker.kill('SIGTERM')
    expect(await endOf(worker)).toEqual({ ended: 'SIGKILL', code: 3 })
  })

  test('ends in peace when its broker is gone and it holds nothing', async ({ stage }) => {
    const worker = await stage.startWorker()
    await stage.broker.kill()
    const isSeen = (): boolean => worker.log.some(({ msg }) => msg === 'no connection to the broker')
    await eventually('the loss to be seen', isSeen)
    worker.kill('SIGTERM')
    expect(await worker.ended).toBe(0)
  })

  test('ends when its supervisor is killed', async ({ stage }) => {
    const { pid, supervisor } = await startUnderSupervisor(stage.broker.url, stage.models)
    await stage.hang()
    supervisor.kill('SIGKILL')
    await eventually('the worker to end', () => !isAlive(pid))
  })
})

/** A process that starts a worker as `pelton up` does, and nothing else. */
const SUPERVISOR = `
  const { spawn } = require('node:child_process')
  const child = spawn(process.execPath, JSON.parse(process.env.WORKER_ARGS), {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'], detached: true,
  })
  child.stdout.resume()
  child.stderr.pipe(process.stderr)
  child.on('message', ({ state }) => { if (state === 'ready') console.log(child.pid) })
`

async function startUnderSupervisor(url: string, models: string) {
  const supervisor = spawn(process.execPath, ['-e', SUPERVISOR], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      WORKER_ARGS: JSON.stringify(programArgs('services/worker/main')),
      PELTON_NATS_URL: url,
      PELTON_MODELS: models,
      PELTON_GRACE_MS: GRACE_MS,
    },
  })
  let said = ''
  supervisor.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  await eventually('a worker under a supervisor', () => said.includes('\n'), { seen: () => said })
  return { pid: Number(said), supervisor }
}
