import { generateRow } from '../../../shared/models/generated-rows.ts'
import { seeModels } from '../../../shared/models/models-page.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import { decodeEventData } from '../../../shared/sdk/contract/open-inference.ts'
import type { Tensor } from '../../../shared/sdk/contract/tensor.ts'

/** An input to try a model with, and where it comes from. */
export interface SampleInput {
  readonly inputs: readonly Tensor[]
  readonly origin: 'golden sample' | 'generated'
}

/** Why a model that is served was not measured, and what would let it be. */
export interface Unmeasured {
  readonly reason: string
  readonly remedy: string
}

/**
 * An input for one run: the first golden sample of the manifest, else the generated row that the model took when it was
 * inspected. A model that took none is served all the same, but not measured.
 */
export function sampleInput(model: ServedModel): SampleInput | Unmeasured {
  const { manifest, signature, trial } = model
  const [golden] = manifest.golden
  if (golden !== undefined) {
    const { features, inputs } = golden
    const body = Buffer.from(JSON.stringify(features === undefined ? { inputs } : { features }, plain))
    return {
      inputs: model.bind(decodeEventData('application/json', undefined, body)).inputs,
      origin: 'golden sample',
    }
  }
  if ('problem' in trial)
    return { reason: `it fails on generated inputs (${trial.problem})`, remedy: cureOf(model) }
  return { inputs: generateRow(signature.inputs, trial.shapes, 0), origin: 'generated' }
}

/** What the manifest could say, so that the model has an input to be measured with. */
function cureOf({ signature, manifest }: ServedModel): string {
  const open = signature.inputs.find(
    ({ shape }, index) => shape.length === 2 && shape[1] === null && !manifest.inputs[index]?.isExplicit,
  )
  const columns =
    open === undefined
      ? ''
      : `, or the features of its input ${JSON.stringify(open.name)}, whose number of columns it leaves open`
  return `Give its manifest a golden sample${columns}. ${seeModels('golden-samples')}`
}

/** What a manifest can hold and JSON cannot. */
function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))
    ? String(value)
    : value
}
