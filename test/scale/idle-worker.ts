// What a worker without events costs, by thread: with one model and with 200.
// npx tsx test/scale/idle-worker.ts [--models=200] [--seconds=30] [--settle=15]
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEMO_MODEL, DEMO_MODELS } from '../../services/demo/models.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { numberArgument, openStage } from './stage.ts'

const count = numberArgument('models', 200)
const seconds = numberArgument('seconds', 30)
const settleSeconds = numberArgument('settle', 15)
const program = process.argv.find((argument) => argument.startsWith('--worker='))?.slice('--worker='.length)

/** Time on a processor of each thread of a process so far, milliseconds, by thread id (Linux). */
async function processorTimes(pid: number): Promise<ReadonlyMap<string, { name: string; ms: number }>> {
  const folder = `/proc/${pid}/task`
  const times = new Map<string, { name: string; ms: number }>()
  for (const id of await readdir(folder)) {
    const [runNanos = '0'] = (await readFile(join(folder, id, 'schedstat'), 'utf8')).split(' ')
    const name = (await readFile(join(folder, id, 'comm'), 'utf8')).trim()
    times.set(id, { name: id === String(pid) ? 'main' : name, ms: Number(runNanos) / 1e6 })
  }
  return times
}

/** Shares of a core, in percent, by name of the thread. */
async function sharesOf(pid: number): Promise<ReadonlyMap<string, number>> {
  const before = await processorTimes(pid)
  const startedAt = performance.now()
  await sleep(seconds * 1_000)
  const after = await processorTimes(pid)
  const tookMs = performance.now() - startedAt
  const shares = new Map<string, number>()
  for (const [id, { name, ms }] of after)
    shares.set(name, (shares.get(name) ?? 0) + (100 * (ms - (before.get(id)?.ms ?? 0))) / tookMs)
  return shares
}

async function measure(models: string): Promise<void> {
  const stage = await openStage()
  try {
    const worker = await startWorkerProcess({
      url: stage.url,
      models,
      ...(program && { program: [program] }),
    })
    try {
      await sleep(settleSeconds * 1_000)
      const [shares, broker] = await Promise.all([
        sharesOf(worker.pid),
        sharesOf(stage.brokerPids[0] as number),
      ])
      const sum = (all: ReadonlyMap<string, number>): string =>
        [...all.values()].reduce((total, share) => total + share, 0).toFixed(3)
      const byThread = [...shares]
        .filter(([, share]) => share >= 0.001)
        .map(([name, share]) => `${name} ${share.toFixed(3)}`)
      console.log(
        `${models}: worker ${sum(shares)} % of a core (${byThread.join(', ')}); broker ${sum(broker)} %`,
      )
    } finally {
      worker.kill('SIGTERM')
      await worker.ended
    }
  } finally {
    await stage.close()
  }
}

const folder = await mkdtemp(join(tmpdir(), 'pelton-idle-'))
try {
  for (const size of [count]) {
    const models = join(folder, String(size))
    for (let index = 0; index < size; index++)
      await cp(join(DEMO_MODELS, DEMO_MODEL, '2'), join(models, `model-${index}`, '1'), { recursive: true })
    await measure(models)
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}
