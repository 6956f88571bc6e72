import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { keptInRetries, leastRetriesBytes } from '../../shared/sdk/contract/bounds.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { STORES, STREAMS, type TopologyOptions } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { deepAudit } from '../kit/audit.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline, type PublishedEvent } from '../kit/pipeline.ts'
import { eventually, PATIENT } from '../kit/wait.ts'
import { addressOf, type WorkerProcess } from '../kit/worker-process.ts'

const MODEL = 'identity-fp32'
const KIB = 1024
const MAX_PAYLOAD = 64 * KIB
/** So small that a test fills it: what `provision` takes for the smallest. */
const RETRIES_BYTES = leastRetriesBytes(MAX_PAYLOAD)

async function open(topology: Partial<TopologyOptions>) {
  const folder = await modelsFolder([MODEL, 'linear', 'gather'])
  const pipeline = await openPipeline({
    broker: { config: 'max_payload: 64KB' },
    topology: { ackWaitMs: 2_000, ...topology },
    models: folder.path,
  })
  onTestFinished(async () => {
    await pipeline.close()
    await folder.remove()
  })
  const place = join(folder.path, MODEL)
  const away = join(folder.path, `.${MODEL}`)
  return {
    ...pipeline,
    takeAway: () => rename(place, away),
    bringBack: () => rename(away, place),
    bytesIn: async (stream: string) => (await streamInfo(pipeline.connection, stream))?.state.bytes ?? 0,
    grow: (larger: Partial<TopologyOptions>) =>
      pipeline.broker.provision({ topology: { ackWaitMs: 2_000, ...topology, ...larger } }),
  }
}

/** One row the model gives back, in a body of about so many bytes. */
function eventOf(id: string, fillBytes = 0): PublishedEvent {
  const tensor = { name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] }
  return { id, model: MODEL, body: `${JSON.stringify({ inputs: [tensor] })}${' '.repeat(fillBytes)}` }
}

const unreadable = (id: string): PublishedEvent => ({
  id,
  model: MODEL,
  body: `{"rows": "${'x'.repeat(1_000)}`,
})

async function publishAll(
  pipeline: Pick<Pipeline, 'publish'>,
  events: readonly PublishedEvent[],
): Promise<string[]> {
  return Promise.all(events.map((event) => pipeline.publish(event)))
}

const numbered = (count: number, make: (id: string) => PublishedEvent): PublishedEvent[] =>
  Array.from({ length: count }, (_event, at) => make(`event-${at}`))

/** What readiness has against a worker. */
async function reasonsOf(worker: WorkerProcess): Promise<readonly string[]> {
  const { reasons } = (await (await fetch(`${await addressOf(worker)}/readyz`)).json()) as {
    reasons: readonly string[]
  }
  return reasons
}

async function expectReason(worker: WorkerProcess, reason: RegExp): Promise<void> {
  await eventually(
    `readiness to say ${reason}`,
    async () => (await reasonsOf(worker)).some((one) => reason.test(one)),
    {
      seen: () => reasonsOf(worker),
    },
  )
}

const HTTP = { PELTON_HTTP_PORT: '0' }

describe('nothing accepted is lost where a stream is filled to its bound while events flow', () => {
  test('RETRIES: workers keep it to a quarter, hold the rest back, and answer all once the model is back', async () => {
    const stage = await open({ retriesMaxBytes: RETRIES_BYTES, featuresMaxBytes: 64 * 1024 * KIB })
    await stage.startWorker()
    await stage.settled([await stage.publish(eventOf('before'))])
    await stage.endWorkers('SIGTERM')
    await stage.takeAway()
    await Promise.all([stage.startWorker(), stage.startWorker()])
    const kept = keptInRetries(RETRIES_BYTES)
    let most = 0
    const look = async (): Promise<number> => {
      const bytes = await stage.bytesIn(STREAMS.retries)
      most = Math.max(most, bytes)
      return bytes
    }
    const tokens: string[] = []
    // Five times what workers may keep there, and more than the bound.
    for (let batch = 0; batch < 20; batch++) {
      const events = Array.from({ length: 16 }, (_event, at) => eventOf(`${batch}-${at}`, 16 * KIB))
      tokens.push(...(await publishAll(stage, events)))
      await look()
    }
    expect(tokens.length * 16 * KIB).toBeGreaterThan(RETRIES_BYTES)
    await eventually('workers to have parked what they may', async () => (await look()) > kept / 2)
    const countFrom = await stage.lastIn(STREAMS.retries)
    await eventually('what is parked to come due again and again', async () => {
      await look()
      return (await stage.lastIn(STREAMS.retries)) > countFrom + 500
    })
    expect(most).toBeLessThan(RETRIES_BYTES / 2)
    expect(await stage.countIn(STREAMS.features)).toBeGreaterThan(0)
    await stage.bringBack()
    const outcomes = await stage.settled(tokens)
    expect(outcomes.predictions.size).toBe(tokens.length + 1)
    expect((await deepAudit(stage)).clean).toBe(true)
  })

  test('RETRIES: a retry beyond that is given back, and the event ends as it would have', async () => {
    const stage = await open({ retriesMaxBytes: RETRIES_BYTES })
    // The index lies outside of the model's table: the runtime fails each time. A fresh worker has a hundred retries.
    const lookup = (id: string, index: number): PublishedEvent => {
      const tensor = { name: 'index', shape: [1], datatype: 'INT64', data: [index] }
      return { id, model: 'gather', body: `${JSON.stringify({ inputs: [tensor] })}${' '.repeat(20 * KIB)}` }
    }
    const failing = numbered(95, (id) => lookup(id, 1_000_000))
    expect(95 * 20 * KIB).toBeGreaterThan(1.5 * keptInRetries(RETRIES_BYTES))
    // One of six succeeds: else the breaker of the model would open.
    const good = (at: number): PublishedEvent[] => (at % 5 === 0 ? [lookup(`good-${at}`, 1_000)] : [])
    const tokens = await publishAll(
      stage,
      failing.flatMap((event, at) => [event, ...good(at)]),
    )
    let most = 0
    const worker = await stage.startWorker()
    await eventually('every event to have its outcome', async () => {
      most = Math.max(most, await stage.bytesIn(STREAMS.retries))
      return (await stage.countIn(STREAMS.results)) === tokens.length
    })
    const outcomes = await stage.settled(tokens)
    expect([outcomes.deadLetters.size, outcomes.predictions.size]).toEqual([95, tokens.length - 95])
    expect(most).toBeGreaterThan(keptInRetries(RETRIES_BYTES) / 2)
    expect(most).toBeLessThan(RETRIES_BYTES / 2)
    worker.kill('SIGTERM')
    expect(await worker.ended).toBe(0)
    expect((await deepAudit(stage)).clean).toBe(true)
  })

  test('LEDGER: workers stop pulling at four fifths, say so, and go on once it is larger', async () => {
    const stage = await open({ ledgerMaxBytes: 24 * KIB })
    const worker = await stage.startWorker(HTTP)
    const tokens: string[] = []
    for (let index = 0; !(await reasonsOf(worker)).some((one) => one.startsWith('storage: LEDGER')); index++)
      tokens.push(await stage.publish(eventOf(`event-${index}`)))
    await expectReason(worker, /^storage: LEDGER (?:is nearly full|refuses)/)
    tokens.push(
      ...(await publishAll(
        stage,
        numbered(50, (id) => eventOf(`late-${id}`)),
      )),
    )
    const scrape = await (await fetch(`${await addressOf(worker)}/metrics`)).text()
    expect(scrape).toMatch(/^pelton_storage_refusing\{[^}]*stream_name="LEDGER"[^}]*\} 1$/m)
    expect(await stage.countIn(STREAMS.features)).toBeGreaterThan(0)
    await stage.grow({ ledgerMaxBytes: 1024 * KIB })
    expect((await stage.settled(tokens)).predictions.size).toBe(tokens.length)
    await eventually('the worker to be ready', async () => (await reasonsOf(worker)).length === 0)
    expect((await deepAudit(stage)).clean).toBe(true)
  })

  test('LEDGER: an idle worker stops at its next look, goes on once records are gone, and ends as any other', async () => {
    const stage = await open({ ledgerMaxBytes: 1024 * KIB })
    const worker = await stage.startWorker(HTTP)
    const window = new PublishWindow(stage.connection)
    while ((await stage.bytesIn(STREAMS.ledger)) < 0.81 * 1024 * KIB)
      await window.publish({ subject: 'ledger.other', headers: [], body: Buffer.alloc(8 * KIB) })
    window.close()
    await expectReason(worker, /^storage: LEDGER is nearly full \(8[12] % of its bound/)
    await requestApi(stage.connection, `STREAM.PURGE.${STREAMS.ledger}`)
    await eventually('the worker to be ready', async () => (await reasonsOf(worker)).length === 0)
    const told = () => worker.log.map(({ msg }) => String(msg)).filter((msg) => msg.startsWith('pulling'))
    const both = ['pulling stops: the ledger is nearly full', 'pulling goes on: the ledger has room again']
    await vi.waitFor(() => expect(told()).toEqual(both), PATIENT)
    worker.kill('SIGTERM')
    expect(await worker.ended).toBe(0)
  })

  test('DEADLETTERS: workers stop with what they hold, and go on once it is larger', async () => {
    const stage = await open({ deadLettersMaxBytes: 24 * KIB })
    const worker = await stage.startWorker(HTTP)
    const tokens = await publishAll(stage, numbered(60, unreadable))
    await expectReason(worker, /^storage: DEADLETTERS refuses/)
    tokens.push(await stage.publish(eventOf('good')))
    await stage.grow({ deadLettersMaxBytes: 1024 * KIB })
    const outcomes = await stage.settled(tokens)
    expect([outcomes.deadLetters.size, outcomes.predictions.size]).toEqual([60, 1])
    expect((await deepAudit(stage)).clean).toBe(true)
  })

  test('RESULTS: the oldest go early, the audit loses nothing and says what it takes on trust', async () => {
    const bound = 4 * 1024 * KIB
    const stage = await open({ resultsMaxBytes: bound })
    await Promise.all([stage.startWorker(), stage.startWorker()])
    const total = 9_000
    const window = new PublishWindow(stage.connection)
    const { body } = eventOf('any')
    const subject = `features.default.${MODEL}.normal`
    for (let from = 0; from < total; from += 100)
      await Promise.all(
        Array.from({ length: 100 }, (_event, at) =>
          window.publish({
            subject,
            headers: [[HEADERS.id, `event-${from + at}`]],
            body: Buffer.from(String(body)),
          }),
        ),
      )
    window.close()
    await eventually('every event to be answered', async () => (await stage.countIn(STREAMS.features)) === 0)
    await eventually('the workers to be done', async () => (await stage.lastIn(STREAMS.results)) >= total)
    expect(await stage.countIn(STREAMS.results)).toBeLessThan(total)
    expect(await stage.bytesIn(STREAMS.results)).toBeLessThanOrEqual(bound)
    const report = await deepAudit(stage)
    expect([report.lost, report.deep?.problems]).toEqual([[], []])
    expect(report.outcomes.predicted).toBe(total)
    expect(report.deep?.expired).toBe(total - (await stage.countIn(STREAMS.results)))
  })

  test('FEATURES: it refuses what it does not accept, and answers what it did', async () => {
    const stage = await open({ featuresMaxBytes: 256 * KIB })
    const window = new PublishWindow(stage.connection)
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_event, at) =>
        window.publish({
          subject: `features.default.${MODEL}.normal`,
          headers: [[HEADERS.id, `event-${at}`]],
          body: Buffer.from(String(eventOf('any', 16 * KIB).body)),
        }),
      ),
    )
    window.close()
    const accepted = answers.filter(({ kind }) => kind === 'stored').length
    expect([accepted > 0, accepted < 40]).toEqual([true, true])
    await stage.startWorker()
    expect((await stage.settled(accepted)).predictions.size).toBe(accepted)
    expect((await deepAudit(stage)).clean).toBe(true)
  })

  test.each(Object.values(STORES))(
    '%s: workers wait or serve on, and all is answered once there is room',
    async (store) => {
      const stage = await open({ bucketsMaxBytes: 64 * KIB })
      const worker = await stage.startWorker(HTTP)
      await stage.settled([await stage.publish(eventOf('before'))])
      const window = new PublishWindow(stage.connection)
      const key = `${store.replace('KV_', '$KV.')}.fill`
      for (const size of [KIB, 0]) {
        const fill = (at: number) =>
          window.publish({ subject: `${key}.${size}-${at}`, headers: [], body: Buffer.alloc(size) })
        for (let at = 0; (await fill(at)).kind === 'stored'; at++);
      }
      const suspect = { ...eventOf('suspect'), headers: { [HEADERS.attempt]: '2' } } // its mark is looked for, and stored
      const tokens = await publishAll(stage, [suspect, ...numbered(20, eventOf)])
      if (store === STORES.starts) await expectReason(worker, /^storage: KV_pelton-starts refuses/)
      else await stage.settled(tokens)
      await requestApi(stage.connection, `STREAM.PURGE.${store}`, { filter: `${key}.>` })
      expect((await stage.settled(tokens)).predictions.size).toBe(tokens.length + 1)
      window.close()
      expect((await deepAudit(stage)).clean).toBe(true)
    },
  )
})
