import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { modelsFolder } from '../../kit/models-folder.ts'

/** What an event of a kind is made of; events of a kind differ by their id. */
export interface Flood {
  readonly model: string
  readonly body: Uint8Array
  readonly headers?: Readonly<Record<string, string>>
}

/** One kind of event in one size, and how often it comes. */
export interface Kind {
  readonly name: string
  /** What is said of its size in the table. */
  readonly size: string
  /** Events of it a second. */
  readonly perSecond: number
  /** Whether its model runs: that is what a neighbour may have to wait for. */
  readonly runs: boolean
  readonly flood: (id: number) => Flood
}

/** The model whose events wait beside. */
export const NEIGHBOUR = 'linear'

const WIDE = 'mean-columns'
const FEATURES = Array.from({ length: 5_000 }, (_, index) => `feature_${String(index).padStart(4, '0')}`)

/** The models of all kinds, with manifests that let large events through. */
export async function openModels(): ReturnType<typeof modelsFolder> {
  const names = ['identity-fp32', 'identity-int64', 'identity-uint8', 'identity-bytes', 'as-many', WIDE]
  const folder = await modelsFolder([NEIGHBOUR, ...names])
  for (const name of names) {
    await mkdir(join(folder.path, name), { recursive: true })
    await writeFile(join(folder.path, name, 'manifest.json'), JSON.stringify(manifestOf(name)))
  }
  return folder
}

function manifestOf(name: string): object {
  if (name === WIDE) return { inputs: { x: { features: FEATURES } } }
  return name.startsWith('identity-') ? { limits: { maxRowsPerEvent: 1_048_576 } } : {}
}

/** Every kind of refusal and of prediction, in the size the broker takes. @param bytes of the largest body */
export function kindsFor(bytes: number): readonly Kind[] {
  return [...refusals(bytes), ...headers(), ...predictions(bytes), ...outputs(), ...many()]
}

/** What a flood of large events brings. */
const BYTES_PER_SECOND = 10_000_000

const utf8 = new TextEncoder()
const showSize = (bytes: number): string =>
  bytes < 1_000_000 ? `${Math.round(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`

/** A kind whose events all have the same body, written once. */
function kind(name: string, model: string, text: string | Uint8Array, extra: Flood['headers'] = {}): Kind {
  const body = typeof text === 'string' ? utf8.encode(text) : text
  const flood = { model, body, headers: extra }
  const perSecond = Math.max(2, Math.min(50, Math.round(BYTES_PER_SECOND / body.length)))
  return { name, size: showSize(body.length), perSecond, runs: false, flood: () => flood }
}

/** The same where the model runs. */
const running: typeof kind = (...given) => ({ ...kind(...given), runs: true })

/** `piece` again and again, a comma between, `bytes` in all. */
const list = (piece: string, bytes: number): string =>
  Array(Math.floor(bytes / (piece.length + 1)))
    .fill(piece)
    .join(',')

function tensor(datatype: string, data: string, rows: number, columns = 2): string {
  return `{"inputs":[{"name":"x","datatype":"${datatype}","shape":[${rows},${columns}],"data":[${data}]}]}`
}

function refusals(bytes: number): Kind[] {
  const fp32 = 'identity-fp32'
  const features = Object.fromEntries([...FEATURES, 'feature_9999'].map((feature) => [feature, 1]))
  const numbers = list('0.5', bytes - 200)
  const keys = Array.from(
    { length: Math.floor(bytes / 16) },
    (_, index) => `"${String(index).padStart(11, 'k')}":1`,
  )
  const structured = { [HEADERS.contentType]: 'application/cloudevents+json' }
  return [
    kind('one unknown feature of 5,000', WIDE, JSON.stringify({ features })),
    kind('as many unknown features as fit', WIDE, `{"features":{${keys.join(',')}}}`),
    kind('JSON that breaks off', fp32, `{"inputs":[${numbers}`),
    kind('JSON nested too deep', fp32, '['.repeat(bytes / 2) + ']'.repeat(bytes / 2)),
    kind('no UTF-8', fp32, new Uint8Array(bytes).fill(0xff)),
    kind('a key twice', fp32, `{"inputs":[${numbers}],"inputs":1}`),
    kind('another number of values', fp32, tensor('FP32', numbers, 7)),
    kind('a value that does not fit, the last', fp32, tensor('FP32', `${numbers},"x"`, 7, 0)),
    kind(
      'integers beyond 64 bits',
      'identity-int64',
      tensor('INT64', list('92233720368547758080', bytes - 200), 7),
    ),
    kind('unknown model', 'nobody', tensor('FP32', numbers, 7)),
    kind('late', fp32, tensor('FP32', numbers, 7), { [HEADERS.expiryTime]: '2020-01-01T00:00:00Z' }),
    kind('structured, a bad envelope', fp32, `{"specversion":"1.0","id":{},"data":[${numbers}]}`, structured),
    kind(
      'structured, bad data',
      fp32,
      `{"specversion":"1.0","id":"","source":"s","data":[${numbers}]}`,
      structured,
    ),
  ]
}

function headers(): Kind[] {
  const small = tensor('FP32', '1,2', 1)
  const many = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`x-${index}`, 'v'.repeat(20)]))
  const sized = (value: string) => Object.fromEntries([[HEADERS.source, value]])
  return [
    {
      ...kind('a source of 60,000 characters', 'identity-fp32', small, sized('s'.repeat(60_000))),
      size: '60 kB',
    },
    {
      ...kind('a source of 20,000 escapes', 'identity-fp32', small, sized('%20'.repeat(20_000))),
      size: '60 kB',
    },
    { ...kind('2,000 headers', 'identity-fp32', small, many), size: '58 kB' },
  ]
}

function predictions(bytes: number): Kind[] {
  const rows = Math.min(1_000_000, Math.floor(bytes / 10))
  const texts = Math.floor(bytes / 12)
  const pixels = Math.floor((bytes - 400) / 2) * 2
  const head = utf8.encode(
    `{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","datatype":"UINT8","shape":[${pixels / 2},2],"parameters":{"binary_data_size":${pixels}}}]}`,
  )
  const image = new Uint8Array(head.length + pixels)
  image.set(head)
  const length = { [HEADERS.inferenceHeaderLength]: String(head.length) }
  return [
    running('predicted, numbers', 'identity-fp32', tensor('FP32', list('0.5', rows * 8), rows)),
    running('predicted, 64 kB each', 'identity-fp32', tensor('FP32', list('0.5', 7_500 * 8), 7_500)),
    running('predicted, texts', 'identity-bytes', tensor('BYTES', list('"a"', texts * 8), texts)),
    running('predicted, bytes', 'identity-uint8', image, length),
  ]
}

/** Answers of any size to events of a few bytes. */
function outputs(): Kind[] {
  return [10_000, 100_000, 846_400, 5_000_000, 25_000_000].map((count) => {
    const body = `{"inputs":[{"name":"n","datatype":"INT64","shape":[1],"data":[${count}]}]}`
    const perSecond = Math.max(1, Math.min(10, Math.round((4 * BYTES_PER_SECOND) / (count * 4))))
    return { ...running('an answer', 'as-many', body), perSecond, size: showSize(count * 4) }
  })
}

function many(): Kind[] {
  const body = utf8.encode(tensor('FP32', '1,2', 1))
  return [
    {
      name: '2,000 names of models',
      size: '',
      perSecond: 200,
      runs: false,
      flood: (id) => ({ model: `made-up-${id % 2_000}`, body }),
    },
    {
      name: 'small events',
      size: '',
      perSecond: 300,
      runs: true,
      flood: () => ({ model: 'identity-fp32', body }),
    },
  ]
}
