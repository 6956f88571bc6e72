import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sweep } from './copy-place.ts'
import { createInspector, type Inspector } from './inspect.ts'
import { rememberVerdicts } from './verdicts.ts'

let base: string
let asked: string[]
let opened: Inspector[]

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'pelton-verdicts-'))
  asked = []
  opened = []
})
afterEach(async () => {
  await Promise.all(opened.map((inspector) => inspector.close()))
  rmSync(base, { recursive: true })
})

const copies = () => ({ folder: join(base, 'copies'), maxBytes: 2 ** 30 })

function put(path: string, fixture: string): void {
  const from = fileURLToPath(new URL(`../../test/models/${fixture}.onnx`, import.meta.url))
  mkdirSync(dirname(join(base, path)), { recursive: true })
  writeFileSync(join(base, path), readFileSync(from))
}

/** A real inspector, and a note of what its process is asked. */
function open(limits = {}): Inspector {
  const real = createInspector(limits)
  const noting: Inspector = {
    gather: (request) => {
      asked.push('gather')
      return real.gather(request)
    },
    inspect: (request) => {
      asked.push('inspect')
      return real.inspect(request)
    },
    close: () => real.close(),
  }
  opened.push(real)
  return rememberVerdicts(noting, copies(), limits)
}

async function look(inspector: Inspector, folder: string, manifest = {}) {
  const { path, digest } = await inspector.gather({
    root: base,
    folder: join(base, folder),
    copies: copies(),
  })
  const request = { name: 'm', version: '1', path, manifest, manifestFile: 'manifest of m/1' }
  return { digest, inspection: await inspector.inspect(request) }
}

describe('an inspector that remembers', () => {
  it('finds again what was found before, without a process, also of other files with the same bytes', async () => {
    put('models/m/1/model.onnx', 'linear')
    put('others/n/7/model.onnx', 'linear')
    const first = await look(open(), 'models/m/1')
    expect(asked).toEqual(['gather', 'inspect'])
    expect(await look(open(), 'models/m/1')).toEqual(first)
    expect(await look(open(), 'others/n/7')).toEqual(first)
    expect(asked).toEqual(['gather', 'inspect'])
  })

  it('looks anew at other bytes, with another manifest, and within other limits', async () => {
    put('models/m/1/model.onnx', 'linear')
    await look(open(), 'models/m/1')
    asked = []
    await look(open(), 'models/m/1', { batching: { maxRows: 4 } })
    expect(asked).toEqual(['inspect'])
    await look(open({ timeLimitMs: 19_000 }), 'models/m/1')
    expect(asked).toEqual(['inspect', 'inspect'])
    put('models/m/1/model.onnx', 'sum-rows')
    await look(open(), 'models/m/1')
    expect(asked).toEqual(['inspect', 'inspect', 'gather', 'inspect'])
  })

  it('tells apart golden samples that differ in what JSON cannot write', async () => {
    put('models/m/1/model.onnx', 'identity-fp32')
    const golden = (datatype: string, given: number | bigint, wanted: bigint | string) => ({
      golden: [
        {
          inputs: [{ name: 'x', datatype, shape: [1, 2], data: [given, given] }],
          outputs: { y: [[wanted, wanted]] },
        },
      ],
    })
    await look(open(), 'models/m/1', golden('FP32', Number.POSITIVE_INFINITY, 'Infinity'))
    const other = look(open(), 'models/m/1', golden('FP32', Number.NaN, 'Infinity'))
    await expect(other).rejects.toMatchObject({ code: 'model-refused' })
    put('models/m/2/model.onnx', 'identity-int64')
    const first = await look(open(), 'models/m/2', golden('INT64', 2n ** 60n, 2n ** 60n))
    asked = []
    expect(await look(open(), 'models/m/2', golden('INT64', 2n ** 60n, 2n ** 60n))).toEqual(first)
    expect(asked).toEqual([])
  })

  it('remembers nothing of what is refused, and nothing that was cut off', async () => {
    put('models/m/1/model.onnx', 'unknown-operator')
    for (let times = 0; times < 2; times++)
      await expect(look(open(), 'models/m/1')).rejects.toMatchObject({ code: 'model-refused' })
    expect(asked.filter((what) => what === 'inspect')).toHaveLength(2)
    put('models/m/2/model.onnx', 'linear')
    const { digest, inspection } = await look(open(), 'models/m/2')
    const folder = join(base, 'copies/verdicts', digest)
    const [verdict = ''] = readdirSync(folder)
    writeFileSync(join(folder, verdict), readFileSync(join(folder, verdict)).subarray(0, 40))
    asked = []
    expect((await look(open(), 'models/m/2')).inspection.signature).toEqual(inspection.signature)
    expect(asked).toEqual(['inspect'])
  })

  it('forgets with the copy', async () => {
    put('models/m/1/model.onnx', 'linear')
    const { digest } = await look(open(), 'models/m/1')
    await sweep(copies().folder, 3_600_000)
    expect(readdirSync(join(base, 'copies/verdicts'))).toEqual([digest])
    await sweep(copies().folder, -1)
    expect(readdirSync(join(base, 'copies/copies'))).toEqual([])
    expect(readdirSync(join(base, 'copies/verdicts'))).toEqual([])
  })
})
