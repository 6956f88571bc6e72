import { seeModels } from './models-page.ts'

const CARRIED = new Set(
  'float uint8 int8 uint16 int16 int32 int64 string bool float16 double uint32 uint64'.split(' '),
)
/** Kinds the runtime's binding cannot even list, so that an output of one cannot be left out. */
const UNLISTED = /^(complex|bfloat16|float8|float4|uint2|int2|datatype|undefined)/

/** Whether values of this kind, as ONNX names it, are tensors Pelton carries. */
export function isCarried(kind: string): boolean {
  return CARRIED.has(kind)
}

/** Whether an output of this kind can be left out of predictions; where it cannot, its model cannot be served. */
export function canBeLeftOut(kind: string): boolean {
  return !UNLISTED.test(kind)
}

type Place = 'input' | 'output'

const REMEDIES: readonly (readonly [RegExp, Readonly<Record<Place, string>>])[] = [
  [/^(bfloat16|float8|float4)/, casts('FP32')],
  [/^(u?int4|u?int2)$/, casts('INT8')],
  [/^complex/, both('Carry the real and the imaginary part as tensors of their own')],
  [
    /^sequence$/,
    {
      input: 'Take one tensor in place of the list: stack its items, or pad them to one length',
      output: 'Join the list to one tensor; for a classifier of scikit-learn, convert with zipmap: False',
    },
  ],
  [
    /^map$/,
    {
      input: 'Take one tensor for each key in place of the map',
      output: 'Give one tensor for each key; for a classifier of scikit-learn, convert with zipmap: False',
    },
  ],
  [/^optional$/, both('Make it a tensor that is always there')],
  [/^sparse tensor$/, both('Make it a dense tensor')],
]

function casts(datatype: string): Readonly<Record<Place, string>> {
  return {
    input: `Make the input ${datatype} and cast behind it`,
    output: `Cast it to ${datatype} in the model`,
  }
}

function both(remedy: string): Readonly<Record<Place, string>> {
  return { input: remedy, output: remedy }
}

/** What to do about an input or output of a kind Pelton does not carry. */
export function remedyForKind(place: Place, kind: string): string {
  const known = REMEDIES.find(([pattern]) => pattern.test(kind))
  const remedy = known?.[1][place] ?? 'Use a tensor of one of the usual datatypes there'
  return `${remedy}, and export the model again. ${seeModels('exporting')}`
}
