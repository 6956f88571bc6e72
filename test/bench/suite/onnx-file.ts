// The few parts of the ONNX format that models of the bench are made of (onnx.proto of ONNX 1.8, protocol buffers).

/** One operator of a graph. */
export interface Node {
  readonly type: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Whole numbers, and lists of them. */
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>
}

/** A graph from one input of floats, `[N, columns]`, to one output of floats, `[N, 1]`. */
export interface Graph {
  readonly columns: number
  readonly nodes: readonly Node[]
}

/** Names of the input and the output. */
export const INPUT = 'x'
export const OUTPUT = 'y'

const IR_VERSION = 7
const OPSET = 11
const FLOAT = 1
const INT = 2
const INTS = 7

/** Bytes of a model file. */
export function onnxFile({ columns, nodes }: Graph): Buffer {
  const graph = Buffer.concat([
    ...nodes.map((node) => message(1, nodeBytes(node))),
    text(2, 'bench'),
    message(11, valueInfo(INPUT, columns)),
    message(12, valueInfo(OUTPUT, 1)),
  ])
  return Buffer.concat([whole(1, IR_VERSION), message(7, graph), message(8, whole(2, OPSET))])
}

function nodeBytes({ type, inputs, outputs, attributes = {} }: Node): Buffer {
  return Buffer.concat([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, type),
    ...Object.entries(attributes).map(([name, value]) =>
      message(5, Buffer.concat([text(1, name), ...attributeValue(value)])),
    ),
  ])
}

function attributeValue(value: number | readonly number[]): readonly Buffer[] {
  if (typeof value === 'number') return [whole(3, value), whole(20, INT)]
  return [...value.map((each) => whole(8, each)), whole(20, INTS)]
}

function valueInfo(name: string, columns: number): Buffer {
  const shape = Buffer.concat([message(1, text(2, 'N')), message(1, whole(1, columns))])
  const tensor = Buffer.concat([whole(1, FLOAT), message(2, shape)])
  return Buffer.concat([text(1, name), message(2, message(1, tensor))])
}

function text(field: number, value: string): Buffer {
  return message(field, Buffer.from(value))
}

function message(field: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes])
}

function whole(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Buffer.from([...bytes, rest])
}
