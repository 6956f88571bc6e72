import type { ServedModel } from '../../../shared/models/repository.ts'
import { decodeEventData } from '../../../shared/sdk/contract/open-inference.ts'
import { createTensorData, elementCount, type Tensor } from '../../../shared/sdk/contract/tensor.ts'

/** An input to try a model with, and where it comes from. */
export interface SampleInput {
  readonly inputs: readonly Tensor[]
  readonly origin: 'golden sample' | 'generated'
}

/**
 * An input for one run: the first golden sample of the manifest, else one row of small numbers and letters. A size that
 * both signature and manifest leave open is 1.
 */
export function sampleInput(model: ServedModel): SampleInput {
  const [golden] = model.manifest.golden
  if (golden !== undefined) {
    const { features, inputs } = golden
    const body = Buffer.from(JSON.stringify(features === undefined ? { inputs } : { features }, plain))
    return {
      inputs: model.bind(decodeEventData('application/json', undefined, body)).inputs,
      origin: 'golden sample',
    }
  }
  return { inputs: model.signature.inputs.map((_spec, index) => generate(model, index)), origin: 'generated' }
}

/** What a manifest can hold and JSON cannot. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))
    ? String(value)
    : value
}

function generate({ signature, manifest }: ServedModel, index: number): Tensor {
  const { name, datatype, shape } = signature.inputs[index] as (typeof signature.inputs)[number] // callers map over it
  const mapping = manifest.inputs[index]
  const columns = mapping !== undefined && mapping.columns.length > 0 ? mapping.columns.length : 1
  const full = shape.map((size, at) => size ?? (at === 1 && shape.length === 2 ? columns : 1))
  const data = createTensorData(datatype, elementCount(full))
  for (let at = 0; at < data.length; at++) data[at] = element(datatype, at) as never // of the datatype of `data`
  return { name, datatype, shape: full, data }
}

function element(datatype: Tensor['datatype'], at: number): number | bigint | string {
  if (datatype === 'BYTES') return 'a'
  if (datatype === 'INT64' || datatype === 'UINT64') return 1n
  return datatype === 'FP32' || datatype === 'FP64' ? ((at * 7919 + 17) % 1000) / 1000 : 1
}
