import { InferenceSession, Tensor } from 'onnxruntime-node'

export type Features = Readonly<Record<string, unknown>>

/** A model in the bare runtime: what everybody's answers are measured by, and compared with. */
export interface BareModel {
  /** Names of its outputs, as the model has them. */
  readonly outputs: readonly string[]
  /** The inputs of some rows as the runtime takes them. */
  feeds(rows: readonly Features[]): Record<string, Tensor>
  /** Its outputs in their order, a value for each row; blocks this thread. */
  run(feeds: Record<string, Tensor>): Promise<readonly Tensor[]>
}

/** One thread and no spinning, as a worker's inference threads have it. @param threads of one run */
export async function openBareModel(path: string, threads = 1): Promise<BareModel> {
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const session = await InferenceSession.create(path, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  })
  const inputs = session.inputMetadata.flatMap((input) => (input.isTensor ? [input] : []))
  return {
    outputs: session.outputNames,
    feeds: (rows) =>
      Object.fromEntries(
        inputs.map(({ name, type }) => [
          name,
          tensorOf(
            type,
            rows.map((row) => row[name]),
          ),
        ]),
      ),
    async run(feeds) {
      const outputs = await session.run(feeds)
      return session.outputNames.map((name) => outputs[name] as Tensor)
    },
  }
}

/** @throws Error for a type that no model of the bench has */
function tensorOf(type: string, values: readonly unknown[]): Tensor {
  const shape = [values.length, 1]
  if (type === 'string') return new Tensor('string', values as string[], shape)
  const numbers = values as number[]
  if (type === 'int64') return new Tensor('int64', BigInt64Array.from(numbers, BigInt), shape)
  if (type === 'float32') return new Tensor('float32', Float32Array.from(numbers), shape)
  throw new Error(`inputs of ${type} are not for the bench`)
}
