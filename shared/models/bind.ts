import type { EventData } from '../sdk/contract/open-inference.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import { type IgnoredFeatures, takeFeatures } from './bind-features.ts'
import { type BinderModel, type BindPlan, didYouMean, mismatch, nameOf, planBinding } from './bind-plan.ts'
import { takeTensors } from './bind-tensors.ts'
import { seeModels } from './models-page.ts'
import { hasDynamicRows } from './signature.ts'

export type { IgnoredFeatures } from './bind-features.ts'

/** An event as the model takes it. */
export interface BoundEvent<Inputs = readonly Tensor[]> {
  /** One tensor for every input of the signature, in its order; or what becomes of that. */
  readonly inputs: Inputs
  /** The size all free first dimensions agree on; 1 for a model whose inputs have none. */
  readonly rows: number
  /** Names of the outputs to answer with. */
  readonly outputs: readonly string[]
  /** Features the model does not know and its manifest lets pass; undefined where there are none. */
  readonly ignored?: IgnoredFeatures
}

/**
 * Fits an event to its model. Throws `schema-mismatch` with the field, its value and what to do, for anything the
 * runtime would refuse, or silently ignore, broadcast or cut; `too-large` for more rows than an event may bring.
 */
export type Binder = (data: EventData) => BoundEvent

/** The binder of a model: the plan is made once, each event costs little more than reading it. */
export function createBinder(model: BinderModel): Binder {
  const plan = planBinding(model)
  return (data) => {
    const { inputs, ignored } =
      data.kind === 'tensors'
        ? { inputs: takeTensors(plan, data.inputs), ignored: undefined }
        : takeFeatures(plan, data.features)
    const rows = countRows(plan, inputs)
    const outputs = takeOutputs(plan, data)
    return ignored === undefined ? { inputs, rows, outputs } : { inputs, rows, outputs, ignored }
  }
}

/** Free first dimensions must agree: the runtime would broadcast them against each other and answer nonsense. */
function countRows(plan: BindPlan, inputs: readonly Tensor[]): number {
  let rows: number | undefined
  for (let index = 0; index < inputs.length; index++) {
    if (plan.specs[index]?.shape[0] !== null) continue
    const own = inputs[index]?.shape[0]
    if (rows !== undefined && own !== rows) {
      const problem = `inputs disagree about the number of rows (another has ${rows})`
      throw mismatch(
        plan,
        problem,
        `${inputs[index]?.name}.shape[0]`,
        own,
        'Send as many rows in each input.',
      )
    }
    rows = own
  }
  if (rows === undefined) return 1
  // Beside an input of fixed size, a free first dimension is not one of rows: a list of any length, say, even none.
  if (rows === 0 && !hasDynamicRows(plan.model.signature)) return 1
  if (rows === 0) throw mismatch(plan, 'an event needs a row', 'shape[0]', 0, 'Send at least one row.')
  const most = plan.model.manifest.limits.maxRowsPerEvent
  if (rows <= most) return rows
  throw new PeltonError('too-large', `one event may bring at most ${most} rows to ${nameOf(plan)}`, {
    field: 'shape[0]',
    value: String(rows),
    remedy: remedyForRows(plan),
  })
}

/** What is counted as rows may be time: a signal cannot be sent in several events, and the manifest has to allow it. */
function remedyForRows({ specs, model }: BindPlan): string {
  const isSignal = specs.every(({ shape }) => shape[0] !== null || shape.length === 1)
  const isJoined = model.batchable !== false && model.manifest.batching.enabled
  if (!isSignal && isJoined)
    return `Send the rows in several events, or raise limits.maxRowsPerEvent in the manifest. ${seeModels('signals')}`
  const alone = isJoined ? ' and set batching.enabled: false' : ''
  return `Where the first dimension is time or a length and no count of rows, raise limits.maxRowsPerEvent${alone} in the manifest; else send the rows in several events. ${seeModels('signals')}`
}

/** Names of the outputs an event asks for. Throws `schema-mismatch` for one the model does not have. */
export function takeOutputs(
  plan: BindPlan,
  { outputs: asked }: Pick<EventData, 'outputs'>,
): readonly string[] {
  if (asked === undefined) return plan.outputs
  return asked.map(({ name }, index) => {
    if (plan.outputNames.has(name)) return name
    throw mismatch(
      plan,
      'the model has no such output',
      `outputs[${index}].name`,
      name,
      didYouMean(name, plan.outputNames),
    )
  })
}
