import { toHalfBits } from '../sdk/contract/float16.ts'
import { type Datatype, isCarriedText, type Tensor } from '../sdk/contract/tensor.ts'
import type { BindPlan } from './bind-plan.ts'
import { type FeatureColumn, toJsonValue } from './feature-mapping.ts'
import { workOfElement } from './work.ts'

/** The place of one feature in a row, and what may stand there. */
export interface RowColumn {
  readonly kind: 'text' | 'whole' | 'half' | 'single' | 'double'
  /** Bounds of whole numbers. */
  readonly min: number
  readonly max: number
  /** Among the row's texts or its numbers. */
  readonly place: number
  /** Taken where the feature is missing or null, as it is kept. */
  readonly fallback: number | string | undefined
}

/** A feature and every column it fills. */
export interface RowFeature {
  readonly name: string
  readonly columns: readonly RowColumn[]
}

/** An input and its columns, in their order. */
export interface RowInput {
  readonly name: string
  readonly datatype: Datatype
  readonly rowShape: readonly number[]
  readonly columns: readonly RowColumn[]
}

/** How the features of a model's events lie in rows: known once its manifest is read. */
export interface RowPlan {
  readonly inputs: readonly RowInput[]
  readonly features: readonly RowFeature[]
  /** Numbers and texts of one row. */
  readonly numbers: number
  readonly texts: number
  /** What the numbers of a row cost a loop, in bytes. */
  readonly work: number
  /** Whether rows of several events can be joined. */
  readonly isJoinable: boolean
  /** See {@link formOf}; the same for all rows. */
  readonly form: string
}

/** The plan of rows; undefined where features cannot fill the inputs. */
export function planRows({ specs, mappings, unmapped, features: names }: BindPlan): RowPlan | undefined {
  if (unmapped !== undefined || specs.length === 0 || ![...names].every(isPlain)) return undefined
  const columnsOf = new Map<string, RowColumn[]>([...names].map((name) => [name, []]))
  const counts = { numbers: 0, texts: 0 }
  const inputs = specs.map(({ name, datatype }, index): RowInput => {
    const { columns: sources = [], rowShape = [] } = mappings[index] ?? {}
    const columns = sources.map((source) => {
      const place = datatype === 'BYTES' ? counts.texts++ : counts.numbers++
      const column = planColumn(source, datatype, place)
      columnsOf.get(source.feature)?.push(column)
      return column
    })
    return { name, datatype, rowShape, columns }
  })
  return {
    inputs,
    features: [...columnsOf].map(([name, columns]) => ({ name, columns })),
    ...counts,
    work: inputs.reduce((sum, { datatype, columns }) => sum + columns.length * workOfNumber(datatype), 0),
    isJoinable: inputs.every(({ rowShape }) => rowShape[0] === 1),
    form: formOf(inputs.map(({ name, rowShape: shape }) => ({ name, shape }))),
  }
}

/** Not so a key that is refused wherever it stands, nor one with the sign that stands for bytes that are no text. */
function isPlain(name: string): boolean {
  return name !== '__proto__' && !name.includes('\ufffd')
}

/** What events that share a call of one model agree on: names and trailing shapes. */
export function formOf(inputs: readonly Pick<Tensor, 'name' | 'shape'>[]): string {
  return inputs.map(({ name, shape }) => `${name}:${shape.slice(1).join('x')}`).join(' ')
}

/** As it is kept in a row: NaN for what the column does not take, the bits for FP16. */
export function toElement({ kind, min, max }: RowColumn, value: number): number {
  switch (kind) {
    case 'whole':
      return Number.isInteger(value) && value >= min && value <= max ? value : Number.NaN
    case 'single':
      return Number.isFinite(Math.fround(value)) ? value : Number.NaN
    case 'double':
      return Number.isFinite(value) ? value : Number.NaN
    case 'half': {
      const bits = toHalfBits(value)
      return (bits & 0x7c00) === 0x7c00 ? Number.NaN : bits
    }
    default:
      return Number.NaN
  }
}

const FLOATS = { FP16: 'half', FP32: 'single', FP64: 'double' } as const

/** Longer integers than these are no numbers in JSON that is read: they come as bigints, which no row holds. */
const LONG = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }
const RANGES: Readonly<Partial<Record<Datatype, { readonly min: number; readonly max: number }>>> = {
  BOOL: { min: 0, max: 1 },
  UINT8: { min: 0, max: 2 ** 8 - 1 },
  UINT16: { min: 0, max: 2 ** 16 - 1 },
  UINT32: { min: 0, max: 2 ** 32 - 1 },
  UINT64: { ...LONG, min: 0 },
  INT8: { min: -(2 ** 7), max: 2 ** 7 - 1 },
  INT16: { min: -(2 ** 15), max: 2 ** 15 - 1 },
  INT32: { min: -(2 ** 31), max: 2 ** 31 - 1 },
  INT64: LONG,
}

function planColumn(source: FeatureColumn, datatype: Datatype, place: number): RowColumn {
  const { min, max } = RANGES[datatype] ?? { min: 0, max: 0 }
  const column = { kind: kindOf(datatype), min, max, place }
  return { ...column, fallback: fallbackOf(source, { ...column, fallback: undefined }) }
}

function kindOf(datatype: Datatype): RowColumn['kind'] {
  if (datatype === 'BYTES') return 'text'
  return datatype === 'FP16' || datatype === 'FP32' || datatype === 'FP64' ? FLOATS[datatype] : 'whole'
}

/** Undefined, too, for what a row cannot hold (NaN, say): then tensors are made of the event. */
function fallbackOf(source: FeatureColumn, column: RowColumn): number | string | undefined {
  if (source.default === undefined) return undefined
  const value = toJsonValue(source.default)
  if (typeof value === 'string') return column.kind === 'text' && isCarriedText(value) ? value : undefined
  if (typeof value !== 'number') return undefined
  const element = toElement(column, value)
  return Number.isNaN(element) ? undefined : element
}

/** Texts are counted row by row. */
function workOfNumber(datatype: Datatype): number {
  return datatype === 'BYTES' ? 0 : workOfElement(datatype)
}
