import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'lossless-json'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { decodeEventData, encodeResponse } from '../sdk/contract/open-inference.ts'
import { PeltonError } from '../sdk/errors.ts'
import { mergeManifests, parseManifest } from './manifest.ts'
import { MANIFEST_DEFAULTS } from './manifest-schema.ts'
import { MODELS_SECTIONS } from './models-page.ts'
import { type ModelRepository, openRepository } from './repository.ts'
import { openSession } from './session.ts'

// A process of its own tries the models, on a busy machine.
vi.setConfig({ hookTimeout: 120_000, testTimeout: 60_000 })

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const page = readFileSync(`${ROOT}docs/models.md`, 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'pelton-models-page-'))
afterAll(() => rmSync(folder, { recursive: true }))

interface Block {
  readonly kind: string
  readonly model: string
  readonly text: string
}

/** An event of the page, or a manifest alone, with what must come of it. */
interface Example {
  readonly model: string
  readonly manifest: string
  readonly event?: string
  readonly expected: { readonly kind: 'prediction' | 'refusal' | 'served'; readonly text: string }
}

/** Blocks of code by what follows their language: ```` ```json event linear ````. */
function blocksOf(text: string): Block[] {
  return [...text.matchAll(/^```\w+ ([a-z-]+)(?: ([a-z-]+))?\n(.*?)^```$/gms)].map(
    ([, kind = '', model = '', code = '']) => ({ kind, model, text: code }),
  )
}

/**
 * A manifest holds until the next one of its section. An event is followed by its prediction or refusal; so is a manifest
 * that is refused. A manifest that nothing follows must be served, with its golden samples met.
 */
function examplesOf(section: string): Example[] {
  const examples: Example[] = []
  let [model, manifest] = ['', '']
  let event: string | undefined
  let isTried = true
  const end = (): void => {
    if (!isTried) examples.push({ model, manifest, expected: { kind: 'served', text: '' } })
  }
  for (const { kind, model: named, text } of blocksOf(section)) {
    if (kind === 'manifest') {
      end()
      ;[model, manifest, event, isTried] = [named, text, undefined, false]
    } else if (kind === 'event') event = text
    else if (kind === 'prediction' || kind === 'refusal') {
      examples.push({
        model: named,
        manifest,
        ...(event === undefined ? {} : { event }),
        expected: { kind, text },
      })
      isTried = true
    }
  }
  end()
  return examples
}

const examples = page.split(/^##+ /m).flatMap(examplesOf)
const nameOf = ({ model }: Example, index: number): string => `${model}-${index}`

/** A folder with a model for each example: one process tries them all. */
async function serveExamples(): Promise<ModelRepository> {
  for (const [index, example] of examples.entries()) {
    const own = join(folder, nameOf(example, index))
    mkdirSync(join(own, '1'), { recursive: true })
    const isDemo = example.model === 'flight-delay'
    const file = isDemo ? 'services/demo/models/flight-delay/1/model' : `test/models/${example.model}`
    cpSync(`${ROOT}${file}.onnx`, join(own, '1', 'model.onnx'))
    writeFileSync(join(own, 'manifest.yaml'), example.manifest)
  }
  return openRepository({ folder })
}

async function outcomeOf(
  { models, refused }: ModelRepository,
  name: string,
  event?: string,
): Promise<string> {
  const refusal = refused.find((model) => model.name === name)
  if (refusal !== undefined) return refusal.error.message
  const served = models.find((model) => model.name === name)
  if (served === undefined) return 'neither served nor refused'
  if (event === undefined) return ''
  const session = await openSession(served.path)
  try {
    const data = decodeEventData('application/json', undefined, Buffer.from(event))
    const { inputs, outputs } = served.bind(data)
    const response = { modelName: name, modelVersion: '1', outputs: await session.run(inputs, outputs) }
    return Buffer.from(encodeResponse(response).body).toString()
  } catch (thrown) {
    if (thrown instanceof PeltonError) return thrown.message
    throw thrown
  } finally {
    await session.release()
  }
}

/** JSON with floats to six digits: what a page needs to say. */
function plain(json: string): unknown {
  return JSON.parse(stringify(parse(json)) ?? '', (_key, value: unknown) =>
    typeof value === 'number' ? Number(value.toPrecision(6)) : value,
  )
}

describe('the examples of docs/models.md', () => {
  let repository: ModelRepository
  beforeAll(async () => {
    repository = await serveExamples()
  })

  it.each(examples.map((example, index) => [nameOf(example, index), example] as const))(
    'come out as the page says: %s',
    async (name, { model, event, expected }) => {
      const outcome = (await outcomeOf(repository, name, event)).replaceAll(name, model)
      if (expected.kind === 'prediction') expect(plain(outcome)).toEqual(plain(expected.text))
      else expect(outcome).toBe(expected.text.trim())
    },
  )

  it('are all tried, and show each way in which a model is fed', () => {
    const written = blocksOf(page).filter(({ kind }) => kind === 'prediction' || kind === 'refusal')
    const expected = examples.map((example) => example.expected)
    expect(expected.filter(({ kind }) => kind !== 'served').length).toBe(written.length)
    expect(expected.filter(({ kind }) => kind === 'served').length).toBe(1)
    expect(new Set(examples.map(({ model }) => model))).toEqual(
      new Set(['flight-delay', 'linear', 'image', 'tokens']),
    )
  })

  it('lay the manifest of a version over that of its model', () => {
    const read = (kind: string) =>
      parseManifest(blocksOf(page).find((block) => block.kind === kind)?.text ?? '', kind)
    const merged = mergeManifests(read('manifest-of-model'), read('manifest-of-version'))
    expect(merged).toEqual(read('manifest-merged'))
    expect(Object.keys(merged).length).toBeGreaterThan(2)
  })

  it('let a signal be longer than an event has rows', () => {
    const [signal] = blocksOf(page).filter(({ kind }) => kind === 'manifest-of-signal')
    const { batching, limits } = parseManifest(signal?.text ?? '', 'signal')
    expect(batching).toEqual({ enabled: false })
    expect(limits?.maxRowsPerEvent).toBeGreaterThan(MANIFEST_DEFAULTS.limits.maxRowsPerEvent)
  })
})

it('the page has the sections that errors lead to', () => {
  const anchors = [...page.matchAll(/^##+ (.*)$/gm)].map(([, title = '']) =>
    title.toLowerCase().replaceAll(' ', '-'),
  )
  for (const section of MODELS_SECTIONS) expect(anchors).toContain(section)
})

it('the page names the newest opset and format the runtime takes', async () => {
  const reasonOf = (name: string) =>
    openSession(`${ROOT}test/models/${name}.onnx`).then(String, (thrown: Error) => thrown.message)
  const [, opset] = /this runtime takes up to (\d+)/.exec(await reasonOf('future-opset')) ?? []
  const [, format] = /max supported IR version: (\d+)/.exec(await reasonOf('future-format')) ?? []
  expect(page).toContain(`opset up to ${opset} and IR version up to ${format} `)
})

/** Sources whose errors reach those who ship models. */
const sources = [
  ...readdirSync(`${ROOT}shared/models`).map((name) => `shared/models/${name}`),
  'services/worker/infer/predict.ts',
  'services/worker/infer/watchdog.ts',
]
  .filter((name) => !name.endsWith('.test.ts'))
  .map((name) => readFileSync(ROOT + name, 'utf8'))

/** A literal as the page writes it: what differs is `…`. */
const shown = (literal: string): string =>
  literal
    .replaceAll(/\$\{[^}]*\}/g, '…')
    .replaceAll(/…+/g, '…')
    .replaceAll("\\'", "'")
    .trim()

const literals = new Set(
  sources.flatMap((source) =>
    [...source.matchAll(/'((?:[^'\\\n]|\\.)*)'|`([^`]*)`/g)].map(([, plainText, template]) =>
      shown(plainText ?? template ?? ''),
    ),
  ),
)

/** The texts in the first column of the tables of what is refused, and those a cause names word by word. */
function textsOfPage(): string[] {
  const [, refusals = ''] = page.split(/^## What is refused$/m)
  const rows = [...refusals.matchAll(/^\| (.*?) \|(.*)$/gm)]
  return rows.flatMap(([, text = '', rest = '']) => {
    const cell = text === '`this is no ONNX file: …`' ? text + rest : text
    return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
  })
}

/** Errors nobody who ships models can cause, or that end in another one. */
const UNSEEN = [
  'this is no signature of a model', // between Pelton's own processes
  '…, for …', // the form of every refusal of an event
  'output … has shape […] for … rows', // of a batch, whose events then run alone
]

function textsOfCode(): string[] {
  const texts = sources.flatMap((source) => [
    ...source.matchAll(
      /new PeltonError\(\s*'(?:model-refused|model-unavailable|invalid-configuration|too-large|inference-failed|invalid-output|timed-out)',\s*(['`])(.*?)\1/g,
    ),
    ...source.matchAll(/(?:mismatch\(\s*plan,|throw refuse\(|notOnnx\()\s*(['`])(.*?)\1/g),
    ...[...source.matchAll(/const problem =.*$/gm)].flatMap(([line]) => [...line.matchAll(/(['`])(.*?)\1/g)]),
  ])
  return texts.map(([, , text = '']) => shown(text)).filter((text) => !UNSEEN.includes(text))
}

describe('what is refused', () => {
  it('is listed whole', () => {
    const onPage = textsOfPage()
    const inCode = textsOfCode()
    expect(inCode.length).toBeGreaterThan(40)
    expect(inCode.filter((text) => !onPage.includes(text))).toEqual([])
  })

  it('is listed in the words of the code', () => {
    expect(textsOfPage().filter((text) => !literals.has(text))).toEqual([])
  })

  it('has notes in the words of the code', () => {
    const [, batching = ''] = page.split(/^## Batching$/m)
    const notes = [...(batching.split(/^## /m)[0] ?? '').matchAll(/^\| `(.*?)` \|/gm)].map(([, note]) => note)
    expect(notes.length).toBe(4)
    for (const note of [...notes, 'output … is left out: it is no tensor']) {
      expect(literals).toContain(note)
      expect(page).toContain(`\`${note}\``)
    }
  })
})

it('every remedy about a manifest or an export names its section of the page', () => {
  const remedies = sources.flatMap((source) => [
    ...source.matchAll(/^(?!\s*(?:\/?\*|\/\/)).*['`](?=[A-Z])[^'`\n]*(?:manifest|[Ee]xport).*$/gm),
  ])
  expect(remedies.length).toBeGreaterThan(9)
  for (const [line] of remedies) expect(line).toContain('seeModels(')
})
