import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL } from '../../services/demo/models.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { ownAnswers, type Truth, whyVoid } from '../bench/suite/inspect.ts'
import { MODEL_PATH } from '../bench/suite/workplace.ts'
import { latestModels } from '../kit/models-folder.ts'
import { startWorkerProcess } from '../kit/worker-process.ts'
import { openStage, type Stage } from '../scale/stage.ts'

const EVENTS = 40

describe('a run of the bench is void', () => {
  let stage: Stage
  let truth: Truth
  const { signal } = new AbortController()

  beforeAll(async () => {
    const flights = await loadFlights({ count: 16 })
    truth = await ownAnswers(
      MODEL_PATH,
      flights.map(({ features }) => ({ ...features })),
    )
    stage = await openStage()
    await stage.publishFlights(flights, EVENTS, [DEMO_MODEL])
    const worker = await startWorkerProcess({ url: stage.url, models: latestModels() })
    await stage.answered(EVENTS)
    worker.kill('SIGTERM')
    await worker.ended
  })

  afterAll(() => stage?.close())

  test('not where every answer is the model’s own and the audit is clean', async () => {
    expect(await whyVoid(stage, truth, EVENTS, signal)).toBeUndefined()
  })

  test('where an answer differs in its last bit', async () => {
    const [first = new Map(), ...rest] = truth
    const bits = new Float32Array([Number(first.get('probability'))])
    new Uint32Array(bits.buffer)[0]! += 1
    const other = [new Map([...first, ['probability', bits[0] as number]]), ...rest]
    expect(await whyVoid(stage, other, EVENTS, signal)).toMatch(/probability is .*by the model itself/)
  })

  test('where an answer is missing', async () => {
    expect(await whyVoid(stage, truth, EVENTS + 1, signal)).toBe(`1 of ${EVENTS + 1} events have no answer`)
  })

  test('where the audit is not clean', async () => {
    await requestApi(stage.connection, `STREAM.PURGE.${STREAMS.ledger}`)
    expect(await whyVoid(stage, truth, EVENTS, signal)).toMatch(/^the audit is not clean: /)
  })
})
