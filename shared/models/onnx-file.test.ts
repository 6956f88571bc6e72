import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { PeltonError } from '../sdk/errors.ts'
import { type OnnxFile, readOnnxFile } from './onnx-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'pelton-onnx-file-'))
afterAll(() => rmSync(folder, { recursive: true }))

function fixture(name: string): string {
  return fileURLToPath(new URL(`../../test/models/${name}.onnx`, import.meta.url))
}

/** What reading these bytes gives: a model, or a refusal; anything else fails the test. */
function readBytes(bytes: Uint8Array): OnnxFile | PeltonError {
  const path = join(folder, 'model.onnx')
  writeFileSync(path, bytes)
  try {
    return readOnnxFile(path)
  } catch (thrown) {
    if (thrown instanceof PeltonError && thrown.code === 'model-refused') return thrown
    throw thrown
  }
}

describe('readOnnxFile', () => {
  it.each([
    ['identity-fp16', 'float16'],
    ['identity-bytes', 'string'],
    ['bfloat16-input', 'bfloat16'],
    ['complex-input', 'complex64'],
    ['int4-input', 'int4'],
  ])('names the datatype of %s', (name, kind) => {
    expect(readOnnxFile(fixture(name)).inputs).toEqual([{ name: 'x', kind }])
  })

  it('names kinds that are no tensors', () => {
    expect(readOnnxFile(fixture('sequence-input')).inputs).toEqual([{ name: 's', kind: 'sequence' }])
    expect(readOnnxFile(fixture('zipmap')).outputs).toEqual([
      { name: 'label', kind: 'int64' },
      { name: 'probabilities', kind: 'sequence' },
    ])
  })

  it('tells inputs that bring their own value', () => {
    const { inputs, initialisers } = readOnnxFile(fixture('default-ir8'))
    expect(inputs.map((input) => input.name)).toEqual(['x', 'bias'])
    expect([...initialisers]).toEqual(['bias'])
  })

  it.each(['external-beside', 'external-above', 'external-nested'])(
    'finds the data outside of %s',
    (name) => {
      expect(readOnnxFile(fixture(name)).externalTensors.length).toBeGreaterThan(0)
    },
  )

  it('refuses an empty file, and text', () => {
    expect(String(readBytes(new Uint8Array()))).toContain('the file is empty')
    expect(String(readBytes(Buffer.from('no model')))).toContain('no ONNX file')
  })

  it('refuses a file cut off anywhere before its outputs', () => {
    const whole = readFileSync(fixture('linear'))
    for (let length = 0; length < whole.length; length++) {
      const result = readBytes(whole.subarray(0, length))
      // The last field says only which operators the model uses.
      if (length < whole.length - 10) expect(result).toBeInstanceOf(PeltonError)
    }
  })

  it('ends on any bytes, with a model or a refusal', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readBytes(bytes)))
  })

  it('ends on any model with flipped bits, with a model or a refusal', () => {
    const whole = readFileSync(fixture('external-nested'))
    const flips = fc.array(fc.nat(whole.length * 8 - 1), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(flips, (bits) => {
        const copy = Uint8Array.from(whole)
        for (const bit of bits) copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        readBytes(copy)
      }),
    )
  })

  it('refuses messages nested without end', () => {
    let nested = Buffer.alloc(0)
    // graph → node → attribute → graph → …
    for (let depth = 0; depth < 200; depth++) {
      const key = [0x3a, 0x0a, 0x2a, 0x32][depth === 199 ? 0 : 1 + ((198 - depth) % 3)] ?? 0
      nested = Buffer.concat([Buffer.from([key, ...lengthBytes(nested.length)]), nested])
    }
    expect(String(readBytes(nested))).toContain('nested too deep')
  })
})

function lengthBytes(length: number): number[] {
  return length < 128 ? [length] : [(length % 128) | 0x80, ...lengthBytes(Math.floor(length / 128))]
}
