import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { PATIENT } from '../../test/kit/wait.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { createApartRunner } from './apart-runner.ts'

const runner = createApartRunner()
afterAll(() => runner.close())

const LONG_MS = 600_000
const late = new PeltonError('timed-out', 'it does not end')

function run(name: string, rows: number[], timeoutMs = LONG_MS, by = runner): Promise<readonly Tensor[]> {
  const path = fileURLToPath(new URL(`../../test/models/${name}.onnx`, import.meta.url))
  const input: Tensor = {
    name: 'x',
    datatype: 'FP32',
    shape: [1, rows.length],
    data: Float32Array.from(rows),
  }
  return by.run({ key: name, path }, [input], { timeoutMs, onTimeout: () => late })
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('models that run apart', () => {
  it('answer as in a thread, in a process that stays', async () => {
    expect((await run('linear', [1, 1, 1]))[0]?.data).toEqual(Float32Array.of(6.5))
    const { pids } = runner
    expect((await run('linear', [0, 0, 0]))[0]?.data).toEqual(Float32Array.of(0.5))
    expect(runner.pids).toEqual(pids)
    expect(pids).toHaveLength(1)
  })

  it('make room for one another only when they have nothing to do', async () => {
    const own = createApartRunner()
    onTestFinished(() => own.close())
    const runs: [name: string, row: number[]][] = [
      ['linear', [1, 1, 1]],
      ['mixes-rows', [1, 1]],
      ['identity-fp32', [1, 1]],
      ['counts-up', [1]],
    ]
    for (let round = 0; round < 3; round++)
      await Promise.all(runs.map(([name, row]) => run(name, row, LONG_MS, own)))
  })

  it('leave no process behind that could not open its model', async () => {
    const own = createApartRunner()
    onTestFinished(() => own.close())
    await expect(run('no-such-model', [1], LONG_MS, own)).rejects.toMatchObject({ code: 'model-unavailable' })
    expect(own.pids).toEqual([])
  })

  it('lose their process, and no other, to a run beyond its limit; the next run has another', async () => {
    await run('linear', [1, 1, 1])
    await run('loops-by-input', [1, 1])
    const [healthy, endless] = runner.pids as [number, number]
    await expect(run('loops-by-input', [1e18, 1], 500)).rejects.toBe(late)
    await vi.waitFor(() => expect(isAlive(endless)).toBe(false), PATIENT)
    expect(isAlive(healthy)).toBe(true)
    expect((await run('loops-by-input', [1, 1])).length).toBeGreaterThan(0)
  })

  it('fail a run whose process is killed, with how', async () => {
    await run('loops-by-input', [1, 1])
    const pid = runner.pids.at(-1) as number
    const running = run('loops-by-input', [1e18, 1]).catch((thrown: unknown) => thrown)
    process.kill(pid, 'SIGSEGV')
    expect(await running).toMatchObject({
      code: 'inference-failed',
      message: expect.stringContaining('SIGSEGV'),
    })
  })

  it('burn no event whose process ends while it opens its model', async () => {
    const own = createApartRunner()
    onTestFinished(() => own.close())
    const running = run('linear', [1, 1, 1], LONG_MS, own).catch((thrown: unknown) => thrown)
    await vi.waitFor(() => expect(own.pids).toHaveLength(1), PATIENT)
    process.kill(own.pids[0] as number, 'SIGKILL')
    expect(await running).toMatchObject({
      code: 'model-unavailable',
      message: expect.stringContaining('SIGKILL'),
    })
  })

  it('have two processes at most: one that has nothing to do makes room', async () => {
    await run('linear', [1, 1, 1])
    await run('loops-by-input', [1, 1])
    const [oldest] = runner.pids as [number]
    await run('identity-fp32', [1, 2])
    expect(runner.pids).toHaveLength(2)
    expect(isAlive(oldest)).toBe(false)
  })

  it('end with their runner, whatever they do, and run nothing then', async () => {
    const own = createApartRunner()
    const path = fileURLToPath(new URL('../../test/models/loops-by-input.onnx', import.meta.url))
    const input: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1e18, 1) }
    const model = { key: 'endless', path }
    const running = own.run(model, [input], { timeoutMs: LONG_MS, onTimeout: () => late })
    const failed = running.catch((thrown: unknown) => thrown)
    await vi.waitFor(() => expect(own.pids).toHaveLength(1), PATIENT)
    await own.close()
    // By whether it had begun, or its model was being opened.
    expect(await failed).toMatchObject({
      code: expect.stringMatching(/^(?:inference-failed|model-unavailable)$/),
    })
    await expect(own.run(model, [input], { timeoutMs: 1, onTimeout: () => late })).rejects.toMatchObject({
      code: 'closed',
    })
  })
})
