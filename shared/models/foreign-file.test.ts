import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, it } from 'vitest'
import { readOnnxFile } from './onnx-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'pelton-foreign-file-'))
afterAll(() => rmSync(folder, { recursive: true }))

const linear = readFileSync(fileURLToPath(new URL('../../test/models/linear.onnx', import.meta.url)))

it.each([
  [
    'a Git LFS pointer',
    'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 13\n',
    'a Git LFS pointer',
    'git lfs pull',
  ],
  ['a page of an error', '<!DOCTYPE html>\n<html><title>404</title>', 'an HTML or XML page', 'Download'],
  ['an answer of a registry', '{"error":"unauthorized"}', 'JSON', 'not what describes it'],
  ['a compressed model', gzipSync(linear), 'gzip', 'Unpack'],
  ['a PyTorch checkpoint', 'PK\x03\x04\x00\x00\x08\x08archive/data.pkl', 'a ZIP archive', 'convert'],
  ['a joblib file', Uint8Array.of(0x80, 4, 0x95, 0, 1, 2), 'a Python pickle', 'Convert'],
  ['a Keras model', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), 'HDF5', 'Convert'],
  ['weights', Buffer.from('\x40\0\0\0\0\0\0\0{"w":{}}', 'latin1'), 'a safetensors file', 'weights alone'],
  [
    'a file of TensorFlow Lite',
    Buffer.from('\x1c\0\0\0TFL3\0\0', 'latin1'),
    'a TensorFlow Lite model',
    'Convert',
  ],
])('%s is named, with what to do', (_what, bytes, kind, remedy) => {
  const path = join(folder, 'model.onnx')
  writeFileSync(path, bytes)
  expect(() => readOnnxFile(path)).toThrow(`this is no ONNX file but ${kind}`)
  expect(() => readOnnxFile(path)).toThrow(remedy)
})
