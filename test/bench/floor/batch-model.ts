import { InferenceSession, Tensor } from 'onnxruntime-node'

type Features = Readonly<Record<string, unknown>>

/** A model of one row an event, with scalars in and out. */
export interface BatchModel {
  /** Runs it inline. Returns the text of the outputs of each event, as an answer carries them. */
  predict(rows: readonly Features[]): Promise<string[]>
}

type Column = string[] | BigInt64Array | Float32Array

/** @throws Error for a model with other types than text, whole numbers of 64 bits and floats of 32 */
export async function openBatchModel(path: string): Promise<BatchModel> {
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const session = await InferenceSession.create(path, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
  const inputs = session.inputMetadata.map((input) => {
    if (input.isTensor) return { name: input.name, type: input.type }
    throw new Error(`${input.name} is no tensor`)
  })
  const names = session.outputNames
  return {
    async predict(rows) {
      const feeds: Record<string, Tensor> = {}
      for (const { name, type } of inputs)
        feeds[name] = new Tensor(type, columnOf(type, name, rows), [rows.length, 1])
      const outputs = await session.run(feeds)
      const columns = names.map((name) => outputs[name] as Tensor)
      return rows.map((_row, index) =>
        columns.map((column, at) => textOf(names[at], column, index)).join(','),
      )
    },
  }
}

/** The values of one input, with its type checked. */
function columnOf(type: string, name: string, rows: readonly Features[]): Column {
  const wanted = type === 'string' ? 'string' : 'number'
  const column = emptyColumn(type, rows.length)
  for (let index = 0; index < rows.length; index++) {
    const value = (rows[index] as Features)[name]
    if (typeof value !== wanted) throw new Error(`${name} is no ${wanted}`)
    column[index] = (type === 'int64' ? BigInt(value as number) : value) as never
  }
  return column
}

function emptyColumn(type: string, length: number): Column {
  if (type === 'string') return new Array<string>(length)
  if (type === 'int64') return new BigInt64Array(length)
  if (type === 'float32') return new Float32Array(length)
  throw new Error(`inputs of ${type} are not for the floor`)
}

function textOf(name: string | undefined, { type, data }: Tensor, index: number): string {
  return `{"name":"${name}","datatype":"${type === 'int64' ? 'INT64' : 'FP32'}","shape":[1],"data":[${data[index]}]}`
}
