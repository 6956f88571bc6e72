import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  createTensorData,
  type Datatype,
  elementCount,
  type Tensor,
  type TensorData,
} from '../../shared/sdk/contract/tensor.ts'

/** An operator model of the ONNX project, with one set of inputs and the outputs its authors expect. */
export interface OperatorCase {
  readonly name: string
  readonly path: string
  readonly inputs: readonly CaseValue[]
  readonly outputs: readonly CaseValue[]
  /** How far an output may be from what is expected: relative, and absolute. */
  readonly rtol: number
  readonly atol: number
}

/** `tensor` is missing where no tensor of Pelton's datatypes can hold the value. */
export interface CaseValue {
  readonly name: string
  /** As ONNX names it: `float`, `bfloat16`, `sequence`, … */
  readonly kind: string
  readonly tensor?: Tensor
}

interface WrittenValue {
  readonly name: string
  readonly kind: string
  readonly shape?: readonly number[]
  readonly data?: string | readonly string[]
}

interface WrittenCase {
  readonly name: string
  readonly rtol: number
  readonly atol: number
  readonly sets: readonly {
    readonly inputs: readonly WrittenValue[]
    readonly outputs: readonly WrittenValue[]
  }[]
}

const DATATYPES: Readonly<Record<string, Datatype>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float: 'FP32',
  double: 'FP64',
  string: 'BYTES',
}

const run = promisify(execFile)

/**
 * The first Python that has the `onnx` package: Debian's own before one on the path, which may be another. Undefined
 * when there is none; `apt-get install python3-onnx` brings it.
 */
export async function findPythonWithOnnx(): Promise<string | undefined> {
  for (const python of ['/usr/bin/python3', 'python3']) {
    const found = await run(python, [
      '-c',
      'import importlib.util as u, sys; sys.exit(u.find_spec("onnx") is None)',
    ]).then(
      () => true,
      () => false,
    )
    if (found) return python
  }
  return undefined
}

/** Generates every case below `folder`: the models in `<folder>/models`, ready to be served. */
export async function generateCases(python: string, folder: string): Promise<OperatorCase[]> {
  await run(python, [fileURLToPath(new URL('generate.py', import.meta.url)), folder], { maxBuffer: 2 ** 26 })
  const lines = (await readFile(join(folder, 'cases.jsonl'), 'utf8')).trimEnd().split('\n')
  return lines.flatMap((line) => {
    const { name, rtol, atol, sets } = JSON.parse(line) as WrittenCase
    const path = join(folder, 'models', name, '1', 'model.onnx')
    return sets.map(({ inputs, outputs }) => ({
      name,
      path,
      rtol,
      atol,
      inputs: inputs.map(readValue),
      outputs: outputs.map(readValue),
    }))
  })
}

function readValue({ name, kind, shape, data }: WrittenValue): CaseValue {
  const datatype = DATATYPES[kind]
  if (datatype === undefined || shape === undefined || data === undefined) return { name, kind }
  return { name, kind, tensor: { name, datatype, shape, data: readData(datatype, shape, data) } }
}

function readData(
  datatype: Datatype,
  shape: readonly number[],
  data: string | readonly string[],
): TensorData {
  if (typeof data !== 'string') return [...data]
  const target = createTensorData(datatype, elementCount(shape)) as Uint8Array
  const bytes = Buffer.from(data, 'base64')
  if (bytes.length !== target.byteLength)
    throw new Error(`${bytes.length} bytes for ${datatype} [${shape}], expected ${target.byteLength}`)
  new Uint8Array(target.buffer).set(bytes)
  return target
}
