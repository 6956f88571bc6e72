import { fromHalfBits } from '../sdk/contract/float16.ts'
import { type JsonValue, numberToJson } from '../sdk/contract/json.ts'
import { readJsonData } from '../sdk/contract/json-tensors.ts'
import { decodeEventData, type EventData } from '../sdk/contract/open-inference.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'
import type { Binder } from './bind.ts'
import type { GoldenSample } from './manifest.ts'
import { seeModels } from './models-page.ts'

type Run = (inputs: readonly Tensor[], outputNames: readonly string[]) => Promise<readonly Tensor[]>

/** Runs a golden sample. Throws `model-refused` when it does not fit the model or an output is not as expected. */
export async function checkGolden(sample: GoldenSample, bind: Binder, run: Run): Promise<readonly Tensor[]> {
  const names = Object.keys(sample.outputs)
  try {
    const { inputs } = bind({ ...readSample(sample), outputs: names.map((name) => ({ name })) })
    for (const output of await run(inputs, names)) compare(sample, output)
    return inputs
  } catch (thrown) {
    if (thrown instanceof PeltonError && thrown.code === 'model-refused') throw thrown
    const reason = thrown instanceof PeltonError ? thrown.description : String(thrown)
    const remedy = `Correct the sample, or the model. ${seeModels('golden-samples')}`
    const details = { field: `golden ${showValue(sample.name)}`, remedy }
    throw new PeltonError('model-refused', `a golden sample cannot be run: ${reason}`, details, thrown)
  }
}

/** A sample is an event like any other, so it is read like one. */
function readSample({ features, inputs }: GoldenSample): EventData {
  const body = toJson(features === undefined ? { inputs } : { features })
  return decodeEventData('application/json', undefined, Buffer.from(body))
}

function compare(sample: GoldenSample, output: Tensor): void {
  const { name, datatype, shape, data } = output
  const expected = readJsonData(
    datatype,
    shape,
    data.length,
    sample.outputs[name] as JsonValue,
    `outputs.${name}`,
  )
  for (let index = 0; index < data.length; index++) {
    const [found, wanted] = [data[index], expected[index]]
    if (found === wanted || isNear(datatype, found, wanted, sample.tolerance)) continue
    throw new PeltonError('model-refused', `golden sample ${showValue(sample.name)} is not met`, {
      field: `outputs.${name}[${index}]`,
      value: showElement(datatype, found),
      remedy: `Expected ${showElement(datatype, wanted)} within ${sample.tolerance}: correct the sample, or the model. ${seeModels('golden-samples')}`,
    })
  }
}

function isNear(datatype: Tensor['datatype'], found: unknown, wanted: unknown, tolerance: number): boolean {
  if (datatype !== 'FP16' && datatype !== 'FP32' && datatype !== 'FP64') return false
  const [a, b] = [toNumber(datatype, found), toNumber(datatype, wanted)]
  return Object.is(a, b) || Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b))
}

function toNumber(datatype: Tensor['datatype'], value: unknown): number {
  return datatype === 'FP16' ? fromHalfBits(Number(value)) : Number(value)
}

function showElement(datatype: Tensor['datatype'], value: unknown): string {
  return datatype === 'FP16'
    ? String(toNumber(datatype, value))
    : typeof value === 'number'
      ? String(value)
      : showValue(value)
}

/** JSON that keeps long integers and non-finite numbers, which YAML can hold. */
function toJson(value: unknown): string {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return numberToJson(value)
  if (Array.isArray(value)) return `[${value.map(toJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  return `{${Object.entries(value)
    .map(([key, member]) => `${JSON.stringify(key)}:${toJson(member)}`)
    .join(',')}}`
}
