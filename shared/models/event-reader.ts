import type { EventData } from '../sdk/contract/open-inference.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { type Binder, type BoundEvent, takeOutputs } from './bind.ts'
import { ignoredOf } from './bind-features.ts'
import { type BinderModel, type BindPlan, planBinding } from './bind-plan.ts'
import { type RawData, type ReadData, readData } from './codec.ts'
import { RawReader } from './raw-reader.ts'
import { JoinedRaw, RawRows } from './raw-rows.ts'
import { JoinedRows, workOfRow } from './row-join.ts'
import { formOf, planRows } from './row-plan.ts'
import { RowScanner } from './row-scanner.ts'
import { Row, RowStore } from './row-store.ts'
import { RowTails } from './row-tails.ts'
import { workOfAll } from './work.ts'

/**
 * The inputs of an event: a tensor for each; or what tensors are made of when its batch is joined: its features in a row, or
 * the bytes of its body.
 */
export type EventInputs = readonly Tensor[] | Row | RawRows

/** Reads the data of an event and fits it to its model. Never throws for what an event brings. */
export type EventReader = (data: RawData) => ReadData<EventInputs>

/**
 * The reader of a model: its plan is made once. Plain features are read in one pass; everything else, and whatever is
 * wrong, with care, by {@link readData} and the binder.
 */
export function createReader(model: BinderModel, bind: Binder): EventReader {
  const plan = planBinding(model)
  const raw = new RawReader(model.manifest.checks.finiteInputs)
  const readBinary: EventReader = (data) => raw.read(data) ?? readData(data, learning(raw, data, bind))
  const readJson = createJsonReader(plan, bind)
  return (data) => (data.inferenceHeaderLength === undefined ? readJson(data) : readBinary(data))
}

function createJsonReader(plan: BindPlan, bind: Binder): EventReader {
  const rowPlan = planRows(plan)
  if (rowPlan === undefined) return (data) => readData(data, bind)
  const rows = new RowStore(rowPlan)
  const scanner = new RowScanner(rows)
  const tails = new RowTails(plan.outputs)
  const fit = (data: EventData): BoundEvent<EventInputs> => takeRow(plan, rows, data) ?? bind(data)
  return (data) => {
    const at = isPlainJson(data) ? scanner.scan(data.body) : -1
    const tail = at < 0 ? undefined : tails.find(data.body, at)
    if (tail !== undefined) {
      const bound = { inputs: rows.end(), rows: 1, outputs: tail.outputs }
      return { kind: 'bound', bound, asked: tail.asked }
    }
    const read = readData(data, fit)
    if (at >= 0 && read.kind === 'bound') tails.learn(data.body, at, read.bound.outputs, read.asked)
    return read
  }
}

/** A binder that remembers how the body lies which it was given the tensors of. */
function learning(raw: RawReader, body: RawData, bind: Binder): Binder {
  return (data) => {
    const bound = bind(data)
    if (data.kind === 'tensors') raw.learn(body, data.inputs, bound, data)
    return bound
  }
}

/** Tensors with the inputs of one event. */
export function toTensors(inputs: EventInputs): readonly Tensor[] {
  if (inputs instanceof Row) {
    const joined = new JoinedRows(inputs.plan, 1)
    joined.put([inputs])
    return joined.tensors()
  }
  if (!(inputs instanceof RawRows)) return inputs
  const joined = new JoinedRaw([inputs])
  joined.put(inputs)
  return joined.tensors()
}

/** What joining the inputs of an event costs a loop, in bytes. */
export function workOfInputs(inputs: EventInputs): number {
  if (inputs instanceof Row) return workOfRow(inputs)
  return inputs instanceof RawRows ? inputs.layout.work : workOfAll(inputs)
}

/** What events that share a call of one model agree on. */
export function formOfInputs(inputs: EventInputs): string {
  if (inputs instanceof Row) return inputs.plan.form
  return inputs instanceof RawRows ? inputs.layout.form : formOf(inputs)
}

/** Undefined where tensors are needed, or where only the binder can say what is wrong. */
function takeRow(plan: BindPlan, rows: RowStore, data: EventData): BoundEvent<Row> | undefined {
  const inputs = data.kind === 'features' ? rows.take(data.features) : undefined
  if (inputs === undefined || data.kind !== 'features') return undefined
  const ignored = ignoredOf(plan, data.features)
  const bound = { inputs, rows: 1, outputs: takeOutputs(plan, data) }
  return ignored === undefined ? bound : { ...bound, ignored }
}

function isPlainJson({ contentType }: RawData): boolean {
  return contentType === undefined || contentType === 'application/json'
}
