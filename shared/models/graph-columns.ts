import { type ByteSource, openByteSource } from './byte-source.ts'
import { type Field, fieldsOf } from './onnx-file.ts'

/** What of a node tells how many columns its first input has. */
interface GraphNode {
  readonly operator: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  /** Of an attribute: its integer, the number of its floats, the largest of its integers. */
  readonly attributes: ReadonlyMap<string, Attribute>
}

interface Attribute {
  readonly integer: number
  readonly floats: number
  readonly largest: number
}

/** Operators behind which the columns are the same. */
const PASSING: ReadonlySet<string> = new Set(
  'Identity Cast Scaler Imputer Normalizer Binarizer Add Sub Mul Div Clip DynamicQuantizeLinear'.split(' '),
)

/**
 * How many columns inputs have, where the first operators say so: the height of a matrix they are multiplied by, the length
 * of a scaler, the highest column a tree asks for. An exporter that is told "any" still writes a model for one number.
 *
 * @returns columns by name of the input; nothing for inputs of which the graph says nothing, and for a file that cannot be
 *   read so: it is a guess, and no reason to refuse a model
 */
export function readColumnCounts(path: string): ReadonlyMap<string, number> {
  const source = openByteSource(path)
  try {
    const { nodes, shapes, inputs } = readGraph(source)
    const counts = new Map<string, number>()
    // Which input of the model a tensor has the columns of.
    const origins = new Map(inputs.map((name) => [name, name]))
    for (const node of nodes) {
      const origin = origins.get(node.inputs[0] ?? '')
      if (origin === undefined) continue
      const columns = columnsOf(node, shapes)
      if (columns !== undefined && !counts.has(origin)) counts.set(origin, columns)
      if (PASSING.has(node.operator)) for (const output of node.outputs) origins.set(output, origin)
    }
    return counts
  } catch {
    return new Map()
  } finally {
    source.close()
  }
}

function columnsOf(
  { operator, inputs, attributes }: GraphNode,
  shapes: ReadonlyMap<string, readonly number[]>,
): number | undefined {
  const weights = shapes.get(inputs[1] ?? '') ?? []
  const floats = (name: string): number => attributes.get(name)?.floats ?? 0
  const found = ((): number | undefined => {
    if (operator === 'Gemm') return weights[attributes.get('transB')?.integer === 1 ? 1 : 0]
    if (/^MatMul/.test(operator)) return weights.at(-2)
    if (/^(Add|Sub|Mul|Div)$/.test(operator)) return weights.at(-1)
    if (operator === 'Scaler') return Math.max(floats('offset'), floats('scale'))
    if (operator === 'Imputer') return floats('imputed_value_floats')
    if (/^TreeEnsemble/.test(operator)) return (attributes.get('nodes_featureids')?.largest ?? -1) + 1
    if (operator === 'LinearRegressor')
      return floats('coefficients') / (attributes.get('targets')?.integer || 1)
    return operator === 'LinearClassifier' ? floats('coefficients') / floats('intercepts') : undefined
  })()
  // A scaler or constant of one number is for any number of columns.
  return found !== undefined && Number.isSafeInteger(found) && found > 1 ? found : undefined
}

interface Graph {
  readonly nodes: readonly GraphNode[]
  readonly shapes: ReadonlyMap<string, readonly number[]>
  readonly inputs: readonly string[]
}

function readGraph(source: ByteSource): Graph {
  const nodes: GraphNode[] = []
  const shapes = new Map<string, readonly number[]>()
  const inputs: string[] = []
  for (const graph of messages(source, { start: 0, end: source.size }, 7)) {
    for (const field of fieldsOf(source, graph.start, graph.end)) {
      if (field.wire !== 2) continue
      if (field.number === 1) nodes.push(readNode(source, field))
      if (field.number === 5) shapes.set(textOf(source, field, 8)[0] ?? '', integersOf(source, field, 1))
      if (field.number === 11) inputs.push(...textOf(source, field, 1))
    }
  }
  return { nodes, shapes, inputs: inputs.filter((name) => !shapes.has(name)) }
}

function readNode(source: ByteSource, node: Field): GraphNode {
  const attributes = new Map<string, Attribute>()
  for (const attribute of messages(source, node, 5)) {
    attributes.set(textOf(source, attribute, 1)[0] ?? '', {
      integer: integersOf(source, attribute, 3)[0] ?? 0,
      floats: countFloats(source, attribute),
      largest: integersOf(source, attribute, 8).reduce((most, value) => Math.max(most, value), -1),
    })
  }
  return {
    operator: textOf(source, node, 4)[0] ?? '',
    inputs: textOf(source, node, 1),
    outputs: textOf(source, node, 2),
    attributes,
  }
}

type Range = Pick<Field, 'start' | 'end'>

function* messages(source: ByteSource, { start, end }: Range, number: number): Generator<Field> {
  for (const field of fieldsOf(source, start, end))
    if (field.number === number && field.wire === 2) yield field
}

function textOf(source: ByteSource, message: Range, number: number): string[] {
  return [...messages(source, message, number)].map(({ start, end }) => source.textBetween(start, end))
}

/** Integers of a repeated field, whether they were written one by one or packed. */
function integersOf(source: ByteSource, { start, end }: Range, number: number): number[] {
  const found: number[] = []
  for (const field of fieldsOf(source, start, end)) {
    if (field.number !== number) continue
    if (field.wire === 0) found.push(field.value)
    else if (field.wire === 2) found.push(...packedOf(source, field))
  }
  return found
}

function* packedOf(source: ByteSource, { start, end }: Range): Generator<number> {
  for (let at = start; at < end; ) {
    let value = 0
    for (let shift = 0; ; shift++) {
      const byte = source.byteAt(at++)
      value += (byte & 0x7f) * 2 ** (7 * shift)
      if (byte < 0x80) break
    }
    yield value
  }
}

function countFloats(source: ByteSource, { start, end }: Range): number {
  let count = 0
  for (const field of fieldsOf(source, start, end)) {
    if (field.number === 7) count += field.wire === 5 ? 1 : (field.end - field.start) / 4
  }
  return count
}
