import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createInferenceThreads } from './inference-threads.ts'
import { createInspector } from './inspect.ts'

const home = mkdtempSync(join(tmpdir(), 'pelton-home-'))
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(home, { recursive: true })
})

describe('runtime telemetry', () => {
  it('leaves no file in the home folder, neither from threads nor from the inspector', async () => {
    vi.stubEnv('HOME', home)
    vi.stubEnv('XDG_CACHE_HOME', undefined)
    const path = fileURLToPath(new URL('../../test/models/linear.onnx', import.meta.url))
    const threads = createInferenceThreads()
    await threads.load({ key: 'linear', path })
    await threads.close()
    const inspector = createInspector()
    await inspector.inspect({ name: 'm', version: '1', path, manifest: {}, manifestFile: 'm' })
    await inspector.close()
    expect(readdirSync(home, { recursive: true })).toEqual([])
  }, 60_000)
})
