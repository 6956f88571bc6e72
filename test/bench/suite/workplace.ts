import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compileTo } from '../../../infra/scripts/compile.mjs'
import { type FlightEvent, loadFlights } from '../../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import { HERE } from '../compare/checkout.ts'
import { ownAnswers, type Truth } from './inspect.ts'

/** Below `node_modules`, so that what is compiled finds its packages; and nothing of it is ever committed. */
export const CACHE = join(HERE, 'node_modules/.cache/pelton-bench')
const PROJECT = 'test/bench/tsconfig.json'

/** The model that everybody runs. */
export const MODEL_VERSION = '2'
export const MODEL_PATH = join(DEMO_MODELS, DEMO_MODEL, MODEL_VERSION, 'model.onnx')

/** What all measurements of one command share. */
export interface Workplace {
  /** For everything that is made; removed at the end. */
  readonly folder: string
  /** The same for other checkouts: none of our packages is above it. */
  readonly otherFolder: string
  readonly flights: readonly FlightEvent[]
  /** JSON of the features of all flights, for processes that are not ours. */
  readonly flightsFile: string
  readonly note: (text: string) => void
  readonly signal: AbortSignal
  /** Compiled entry of a program of this checkout: `services/worker/main`. */
  entry(name: string): string
  /** The model's own answers, a row for each flight: asked for once. */
  truth(): Promise<Truth>
  close(): Promise<void>
}

/** Compiles this checkout as it lies there, and loads the events. */
export async function openWorkplace({
  note,
  signal,
}: Pick<Workplace, 'note' | 'signal'>): Promise<Workplace> {
  await mkdir(CACHE, { recursive: true })
  const folder = await mkdtemp(join(CACHE, 'run-'))
  const otherFolder = await mkdtemp(join(tmpdir(), 'pelton-bench-'))
  const close = async (): Promise<void> => {
    for (const each of [folder, otherFolder]) await rm(each, { recursive: true, force: true })
  }
  try {
    note('compiling this checkout')
    const compiled = join(folder, 'compiled')
    compileTo(compiled, PROJECT)
    const flights = await loadFlights({ count: 20_000 })
    const rows = flights.map(({ features }) => ({ ...features }))
    const flightsFile = join(folder, 'flights.json')
    await writeFile(flightsFile, JSON.stringify(rows))
    let truth: Promise<Truth> | undefined
    return {
      ...{ folder, otherFolder, flights, flightsFile, note, signal, close },
      entry: (name) => join(compiled, `${name}.js`),
      truth: () => {
        truth ??= ownAnswers(MODEL_PATH, rows)
        return truth
      },
    }
  } catch (thrown) {
    await close()
    throw thrown
  }
}
