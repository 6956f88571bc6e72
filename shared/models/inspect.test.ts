import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { createInspector, type InspectionRequest } from './inspect.ts'
import { parseManifest } from './manifest.ts'
import type { ManifestSource } from './manifest-schema.ts'

// Each test may start a process of its own on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const inspector = createInspector()
const folder = mkdtempSync(join(tmpdir(), 'pelton-inspect-'))
afterAll(async () => {
  await inspector.close()
  rmSync(folder, { recursive: true })
})

function fixture(name: string): string {
  return fileURLToPath(new URL(`../../test/models/${name}.onnx`, import.meta.url))
}

function request(path: string, manifest: ManifestSource = {}): InspectionRequest {
  return { name: 'm', version: '1', path, manifest, manifestFile: 'm/manifest.yaml' }
}

async function refusalOf(path: string, manifest?: ManifestSource): Promise<string> {
  const error: unknown = await inspector.inspect(request(path, manifest)).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({
    code: expect.stringMatching(/^(model-(?:refused|unavailable)|invalid-configuration)$/),
  })
  return String(error)
}

describe('inspection', () => {
  it('tells the signature of a model', async () => {
    const { signature, loadMs } = await inspector.inspect(request(fixture('several')))
    expect(signature.inputs).toEqual([
      { name: 'a', datatype: 'FP32', shape: [null, 1] },
      { name: 'b', datatype: 'FP32', shape: [null, 1] },
      { name: 'n', datatype: 'INT64', shape: [null, 1] },
    ])
    expect(signature.outputs.map((output) => output.name)).toEqual(['sum', 'twice', 'same'])
    expect(loadMs).toBeGreaterThan(0)
  })

  it.each(['default-ir3', 'default-ir8'])('takes no input of %s that brings its own value', async (name) => {
    const { signature } = await inspector.inspect(request(fixture(name)))
    expect(signature.inputs.map((input) => input.name)).toEqual(['x'])
    expect(signature.constants).toEqual(['bias'])
  })

  it('leaves out outputs that are no tensors, and says so', async () => {
    const { signature, notes } = await inspector.inspect(request(fixture('zipmap')))
    expect(signature.outputs.map((output) => output.name)).toEqual(['label'])
    expect(notes).toEqual(['output "probabilities" is left out: it is no tensor'])
  })

  it.each([
    ['bfloat16-input', 'input "x" = bfloat16). Make the input FP32 and cast behind it'],
    ['bfloat16-output', 'output "z" = bfloat16). Cast it to FP32 in the model'],
    ['complex-input', 'input "x" = complex64). Carry the real and the imaginary part'],
    ['int4-input', 'input "x" = int4). Make the input INT8 and cast behind it'],
    ['sequence-input', 'input "s" = sequence). Take one tensor in place of the list'],
    ['only-map', 'no output is a tensor Pelton can carry (output "probabilities" = sequence). Join the list'],
    ['weird-input', 'an input has a name that cannot be used (input = __proto__). Rename it'],
    ['weird-output', 'an output has a name that cannot be used (output = __proto__). Rename it'],
    ['external-beside', 'there is no such file (path = weights.bin)'],
    ['external-above', 'tensor "bias" = external data at "../../../../etc/passwd"'],
    ['external-nested', 'there is no such file (path = weights.bin)'],
    ['giant-initialiser', '4398046511104 bytes'],
    ['future-opset', 'it needs opset 99 of ai.onnx, this runtime takes up to 26. Export it with opset 26'],
    [
      'future-format',
      'it: Unsupported model IR version: 99, max supported IR version: 13. Export it with IR',
    ],
    ['unknown-operator', 'Opset 17 has no operator Foo: export with'],
    ['custom-operator', 'ai.onnx.contrib:RegexSplit is a custom operator: export the model without it'],
    ['no-kernel', 'The file is valid, but the runtime has no Add for these datatypes on a CPU'],
    ['gru-layout', 'with layout 0: time first'],
    ['locale-unknown', 'locale xx_XX.UTF-8, which a StringNormalizer of it asks for, is not installed here'],
  ])('refuses %s by name', async (name, words) => {
    expect(await refusalOf(fixture(name))).toContain(words)
  })
})

it('a text model with a locale that every machine has is served', async () => {
  const { signature } = await inspector.inspect(request(fixture('locale-c')))
  expect(signature.inputs).toEqual([{ name: 'text', datatype: 'BYTES', shape: [null] }])
})

describe('batchability', () => {
  it.each(['linear', 'several', 'features', 'free-columns', 'zipmap', 'identity-fp16', 'rank-8'])(
    'holds for %s',
    async (name) => {
      expect((await inspector.inspect(request(fixture(name)))).batchable).toBe(true)
    },
  )

  it.each([
    ['fixed-rows', 'not every input has a free first dimension'],
    ['rank-0', 'not every input has a free first dimension'],
    ['sum-rows', 'output y has no row for each row of the inputs'],
    ['mixes-rows', 'output y of a row depends on the other rows'],
    ['three-rows-only', 'it fails on generated inputs'],
    ['gather', 'it fails on generated inputs'],
  ])('does not hold for %s, which is served all the same', async (name, reason) => {
    const { batchable, notes } = await inspector.inspect(request(fixture(name)))
    expect(batchable).toBe(false)
    expect(notes.join()).toContain(`each event runs by itself: ${reason}`)
  })
})

describe('a trial on generated inputs', () => {
  it.each([
    ['linear', [[1, 3]]],
    ['free-columns', [[1, 3]]],
    ['columns-matmul', [[1, 17]]],
    ['columns-tree', [[1, 19]]],
    ['columns-gemm', [[1, 33]]],
    [
      'several',
      [
        [1, 1],
        [1, 1],
        [1, 1],
      ],
    ],
    ['fixed-rows', [[2, 3]]],
    ['rank-0', [[]]],
  ])('finds shapes that %s takes', async (name, shapes) => {
    expect((await inspector.inspect(request(fixture(name)))).trial).toEqual({ shapes })
  })

  it('tells why a model ran on none, which is served all the same', async () => {
    const { trial, batchable } = await inspector.inspect(request(fixture('columns-hidden')))
    expect(trial).toEqual({ problem: expect.stringContaining('MatMul') })
    expect(batchable).toBe(false)
  })

  it('goes by the sizes of a golden sample, and by the columns of the manifest', async () => {
    const row = Array.from({ length: 37 }, (_, index) => `f${index}`)
    const inputs = { x: { features: row } }
    const golden = [
      {
        inputs: [{ name: 'x', shape: [2, 37], datatype: 'FP32', data: new Array(74).fill(1) }],
        outputs: { score: [-37, -37] },
      },
    ]
    for (const manifest of [{ inputs }, { golden }]) {
      const { trial, batchable } = await inspector.inspect(request(fixture('columns-hidden'), manifest))
      expect(trial).toEqual({ shapes: [[1, 37]] })
      expect(batchable).toBe(true)
    }
  })

  it('is not made where a golden sample stands for it and rows are never joined', async () => {
    const x = { name: 'x', shape: [2], datatype: 'INT64', data: [1, 3] }
    const golden = [{ inputs: [x], outputs: { y: [2n ** 62n, 2n ** 61n] } }]
    const { trial } = await inspector.inspect(request(fixture('crashes-at-zero'), { golden }))
    expect(trial).toEqual({ shapes: [[2]] })
    expect(await refusalOf(fixture('crashes-at-zero'))).toContain(
      'the process that loads and tries the model',
    )
  })

  it('is made of models without a free first dimension, too: a hostile one is refused', async () => {
    const own = createInspector({ timeLimitMs: 1500 })
    await expect(own.inspect(request(fixture('endless-fixed')))).rejects.toThrow(/did not end in time/)
    await own.close()
  })
})

describe('golden samples', () => {
  const good =
    'golden: [{ inputs: [{ name: x, shape: [1, 3], datatype: FP32, data: [1, 1, 1] }], outputs: { score: [[6.5]] } }]'

  it('let a model pass that meets them', async () => {
    const features =
      'inputs: { x: { features: [a, b, c] } }\ngolden: [{ features: { a: 1, b: 0, c: 2 }, outputs: { score: [7.5] } }]'
    for (const text of [good, features]) {
      await inspector.inspect(request(fixture('linear'), parseManifest(text, 'm')))
    }
  })

  it('refuse a model that does not, with the value found and the value expected', async () => {
    const error = await refusalOf(fixture('linear'), parseManifest(good.replace('6.5', '6.6'), 'm'))
    expect(error).toContain('outputs.score[0] = 6.5')
    expect(error).toContain('Expected 6.599999904632568 within 0.0001')
    expect(error).toContain('See docs/models.md#golden-samples.')
  })

  it('refuse a sample that does not fit the model', async () => {
    expect(
      await refusalOf(fixture('linear'), parseManifest(good.replace('[1, 3]', '[3, 1]'), 'm')),
    ).toContain('Send shape [*, 3]')
    expect(await refusalOf(fixture('linear'), parseManifest(good.replace('score', 'scores'), 'm'))).toContain(
      'Did you mean "score"',
    )
  })
})

describe('hostile models', () => {
  it.each([
    ['endless-loop', { timeLimitMs: 1500 }, /did not end in time/],
    ['memory-hog', { memoryLimitBytes: 700 * 2 ** 20 }, /too much memory/],
  ])('like %s are killed, and the next is inspected', async (name, limits, reason) => {
    const own = createInspector(limits)
    await expect(own.inspect(request(fixture(name)))).rejects.toThrow(reason)
    expect((await own.inspect(request(fixture('linear')))).batchable).toBe(true)
    await own.close()
  })

  it('that are damaged are refused or loaded, whatever the bit', async () => {
    const whole = readFileSync(fixture('linear'))
    const path = join(folder, 'damaged.onnx')
    for (let byte = 0; byte < whole.length; byte++) {
      const copy = Uint8Array.from(whole)
      copy[byte] = (copy[byte] ?? 0) ^ (1 << (byte % 8))
      writeFileSync(path, copy)
      const result: unknown = await inspector.inspect(request(path)).catch((thrown: unknown) => thrown)
      const isRefused = /^model-(?:refused|unavailable)$/.test(Object(result).code)
      expect(isRefused || Object(result).signature !== undefined).toBe(true)
    }
    for (let length = 0; length < whole.length - 10; length += 3) {
      writeFileSync(path, whole.subarray(0, length))
      await refusalOf(path)
    }
  })

  it('are refused when the inspector is closed meanwhile', async () => {
    const own = createInspector()
    await own.inspect(request(fixture('linear')))
    const inspected = own.inspect(request(fixture('endless-loop')))
    const refused = expect(inspected).rejects.toMatchObject({
      code: expect.stringMatching(/closed|model-unavailable/),
    })
    await own.close()
    await refused
    await expect(own.inspect(request(fixture('linear')))).rejects.toMatchObject({ code: 'closed' })
  })
})
