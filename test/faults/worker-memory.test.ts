import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import { closeBareModels } from './kit/bare-model.ts'
import { EVENTS, openStage, type Stage, type StagedEvent } from './kit/stage.ts'
import { stageModels } from './kit/stage-models.ts'

afterAll(closeBareModels)

const MODEL = 'fills-memory'
const MANIFEST = 'batching:\n  enabled: false\n'
/** Address space of a worker. Much of it is only ever reserved: each WebAssembly instance of Node takes 10 GiB of it. */
const ADDRESS_SPACE_KIB = 96 * 1024 ** 2
const BEYOND_ADDRESS_SPACE_MIB = 128 * 1024
const RESIDENT_LIMIT_MIB = 900

/** An event whose run fills twice as many MiB. */
function filling(id: string, mebibytes: number): StagedEvent {
  return {
    model: MODEL,
    id,
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: Float32Array.of(mebibytes) }],
  }
}

describe('an event that needs more memory than there is', () => {
  test('is dead-lettered as inference-failed where the system refuses the memory', async () => {
    const stage = await openStage('event: memory is refused (ulimit -v)', {
      models: await stageModels({ [MODEL]: MANIFEST }),
      workers: 2,
      worker: () => ({ ulimit: `-v ${ADDRESS_SPACE_KIB}` }),
    })
    const publishing = stage.feed.run({ perSecond: EVENTS / 3 })
    await stage.feed.reached(0.3)
    const feed = stage.addFeed([filling('hungry', BEYOND_ADDRESS_SPACE_MIB), filling('modest', 4)])
    await feed.run('at once')
    await publishing
    await stage.conclude({ endings: (id) => (id === 'hungry' ? 'inference-failed' : 'prediction') })
    expect(stage.fleet.ends).toEqual([])
  })

  test('is dead-lettered as worker-crashed where an out-of-memory killer ends its process', async () => {
    const stage = await openStage('event: killed out of memory', {
      models: await stageModels({ [MODEL]: MANIFEST }),
      workers: 2,
    })
    const killer = outOfMemoryKiller(stage)
    const publishing = stage.feed.run({ perSecond: EVENTS / 4 })
    await stage.feed.reached(0.3)
    const feed = stage.addFeed([filling('hungry', 2_000), filling('modest', 4)])
    await feed.run('at once')
    await publishing
    const note = `SIGKILL beyond ${RESIDENT_LIMIT_MIB} MiB resident`
    const endings = (id: string) => (id === 'hungry' ? 'worker-crashed' : 'prediction')
    await stage.conclude({ endings, note }).finally(killer.stop)
    expect(killer.killed).toBeGreaterThan(1)
    expect(stage.fleet.ends).toEqual(Array(killer.killed).fill('SIGKILL'))
  })
})

/**
 * Ends workers that grow beyond a limit, as the killer of the kernel or of a platform does: without being root, and
 * before the machine itself is short of memory.
 */
function outOfMemoryKiller({ fleet }: Stage) {
  let isStopped = false
  let killed = 0
  async function watch(): Promise<void> {
    for (; !isStopped; await sleep(5)) {
      for (const worker of [...fleet.workers]) {
        if ((await residentMib(worker.pid)) <= RESIDENT_LIMIT_MIB) continue
        killed++
        await fleet.end('SIGKILL', worker)
      }
    }
  }
  const watching = watch()
  return {
    get killed() {
      return killed
    },
    stop(): Promise<void> {
      isStopped = true
      return watching
    },
  }
}

/** Resident memory of a process; 0 once it has ended. */
async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024
}
