import { readFile, stat } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { areaUnderCurve } from './auc.ts'
import { type FlightEvent, type FlightFeatures, loadFlights } from './flights.ts'

// The runtime reads this once, when it is loaded.
process.env.ORT_DISABLE_TELEMETRY = '1'
const ort = await import('onnxruntime-node')

interface FixtureRow {
  readonly id: string
  readonly features: FlightFeatures
  readonly probability: Readonly<Record<'1' | '2', number>>
}

interface TrainingFacts {
  readonly heldOut: { readonly flights: number; readonly lateShare: number }
  readonly training: { readonly lastDeparture: string }
  readonly versions: Readonly<Record<'1' | '2', { readonly heldOutAuc: number }>>
}

const VERSIONS = ['1', '2'] as const
const fixture = (await readJson('./train/expected.fixture.json')) as FixtureRow[]
const facts = (await readJson('./models/flight-delay/training.json')) as TrainingFacts
const flights = await loadFlights()

async function readJson(file: string): Promise<unknown> {
  return JSON.parse(await readFile(new URL(file, import.meta.url), 'utf8'))
}

function modelPath(version: string): string {
  return fileURLToPath(new URL(`./models/flight-delay/${version}/model.onnx`, import.meta.url))
}

function toTensors(rows: readonly FlightFeatures[]): Record<string, Tensor> {
  const shape = [rows.length, 1]
  const strings = (name: 'origin' | 'destination') =>
    new ort.Tensor(
      'string',
      rows.map((row) => row[name]),
      shape,
    )
  const integers = (name: 'hour' | 'weekday' | 'distance') =>
    new ort.Tensor(
      'int64',
      BigInt64Array.from(rows, (row) => BigInt(row[name])),
      shape,
    )
  const floats = (
    name: 'origin_delay' | 'inbound_delay' | 'destination_delay' | 'route_delay' | 'origin_departures',
  ) =>
    new ort.Tensor(
      'float32',
      Float32Array.from(rows, (row) => row[name]),
      shape,
    )
  return {
    origin: strings('origin'),
    destination: strings('destination'),
    hour: integers('hour'),
    weekday: integers('weekday'),
    distance: integers('distance'),
    origin_delay: floats('origin_delay'),
    inbound_delay: floats('inbound_delay'),
    destination_delay: floats('destination_delay'),
    route_delay: floats('route_delay'),
    origin_departures: floats('origin_departures'),
  }
}

async function predict(session: InferenceSession, rows: readonly FlightFeatures[]) {
  const { label, probability } = await session.run(toTensors(rows))
  expect([label?.dims, label?.type]).toEqual([[rows.length], 'int64'])
  expect([probability?.dims, probability?.type]).toEqual([[rows.length], 'float32'])
  return {
    labels: Array.from(label?.data as BigInt64Array, Number),
    probabilities: Array.from(probability?.data as Float32Array),
  }
}

describe.each(VERSIONS)('flight-delay version %s', (version) => {
  let session: InferenceSession

  beforeAll(async () => {
    session = await ort.InferenceSession.create(modelPath(version), { intraOpNumThreads: 1 })
  })

  afterAll(async () => {
    await session.release()
  })

  it('answers as its trainer did, to float precision, also for airports it never saw', async () => {
    const { probabilities } = await predict(
      session,
      fixture.map(({ features }) => features),
    )
    const worst = Math.max(
      ...fixture.map((row, i) => Math.abs(row.probability[version] - (probabilities[i] ?? NaN))),
    )
    expect(worst).toBeLessThan(2e-6)
    expect(fixture.filter(({ features }) => features.origin === 'ZZZ')).toHaveLength(5)
  })

  it('labels a flight late above one half', async () => {
    const { labels, probabilities } = await predict(
      session,
      fixture.map(({ features }) => features),
    )
    expect(labels).toEqual(probabilities.map((probability) => (probability > 0.5 ? 1 : 0)))
    expect(new Set(labels).size).toBe(2)
  })

  it('answers one row as it answers many', async () => {
    const rows = fixture.slice(0, 20).map(({ features }) => features)
    const { probabilities } = await predict(session, rows)
    for (const [index, row] of rows.entries()) {
      const alone = await predict(session, [row])
      expect(alone.probabilities[0]).toBeCloseTo(probabilities[index] ?? Number.NaN, 6)
    }
  })

  it('has the stated quality on the held-out flights the demo replays', async () => {
    const { probabilities } = await predict(
      session,
      flights.map(({ features }) => features),
    )
    const area = areaUnderCurve(
      probabilities,
      flights.map(({ late }) => late),
    )
    expect(area).toBeGreaterThanOrEqual(0.72)
    expect(area).toBeCloseTo(facts.versions[version].heldOutAuc, 3)
  })

  it('is a small file', async () => {
    expect((await stat(modelPath(version))).size).toBeLessThan(1_000_000)
  })
})

describe('flight-delay', () => {
  it('has one signature in both versions', async () => {
    const [one, two] = await Promise.all(
      VERSIONS.map(async (version) => {
        const session = await ort.InferenceSession.create(modelPath(version), { intraOpNumThreads: 1 })
        const signature = [session.inputMetadata, session.outputMetadata]
        await session.release()
        return signature
      }),
    )
    expect(one).toEqual(two)
    expect(one?.[0]).toHaveLength(10)
    for (const input of one?.[0] ?? []) expect(input).toMatchObject({ isTensor: true, shape: ['N', 1] })
  })

  it('was trained before the flights it is tried on, the better version being the second', () => {
    const first = flights[0] as FlightEvent
    expect(new Date(facts.training.lastDeparture).getTime()).toBeLessThan(first.departedAt.getTime())
    expect(facts.heldOut.flights).toBe(flights.length)
    expect(facts.versions['2'].heldOutAuc).toBeGreaterThan(facts.versions['1'].heldOutAuc)
  })

  it('sees the same features in the demo as in training', () => {
    const served = new Map(flights.map((event) => [event.id, event.features]))
    const known = fixture.filter(({ id }) => !id.endsWith('-unknown-airports'))
    expect(known).toHaveLength(fixture.length - 5)
    for (const { id, features } of known) expect(served.get(id)).toEqual(features)
  })
})
