import { randomBytes } from 'node:crypto'
import { describe, expect } from 'vitest'
import { DEMO_MODEL, DEMO_MODELS } from '../../services/demo/models.ts'
import { METRICS, type Metric, PREFIX_ATTRIBUTE } from '../../shared/runtime/metrics.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { createProducer } from '../../shared/sdk/producer.ts'
import { runDemoEntry } from '../kit/demo-entry.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { otlpEnv, type ReceivedSpan, startOtlpReceiver } from '../kit/otlp-receiver.ts'
import { openPipeline } from '../kit/pipeline.ts'
import { readPrometheus, type Scrape } from '../kit/prometheus-text.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import { addressOf, type WorkerProcess } from '../kit/worker-process.ts'
import { startCli } from './cli-process.ts'

const MODEL = 'identity-fp32'
const PRODUCER = 4
const CONSUMER = 5

const inputs = (value: number) => [{ name: 'x', shape: [1, 2], datatype: 'FP32' as const, data: [value, 0] }]

function traceparent(isSampled: boolean): { readonly traceId: string; readonly text: string } {
  const traceId = randomBytes(16).toString('hex')
  return { traceId, text: `00-${traceId}-${randomBytes(8).toString('hex')}-0${isSampled ? 1 : 0}` }
}

async function endWell(worker: WorkerProcess): Promise<void> {
  worker.kill('SIGTERM')
  expect(await worker.ended).toBe(0)
}

const RESULTS = 'results.{model}.{token}'
const RETRIES = 'retries.{pool}.{model}.{lane}.{token}'
const DUE = 'due.{pool}.{model}.{lane}.{token}'

function sentTo(series: Scrape, template: string): number | undefined {
  return series.value('messaging_client_sent_messages_total', { messaging_destination_template: template })
}

/** What was stored is counted once it is settled, a moment later. */
async function scrapeWhere(worker: WorkerProcess, isSo: (series: Scrape) => boolean): Promise<Scrape> {
  const address = await addressOf(worker)
  const scrape = async (): Promise<string> => (await fetch(`${address}/metrics`)).text()
  const look = async (): Promise<Scrape | false> => {
    const series = readPrometheus(await scrape())
    return isSo(series) && series
  }
  return eventually(`a scrape where ${isSo}`, look, { seen: scrape })
}

const test = staged(openStage)

async function openStage() {
  const folder = await modelsFolder([MODEL])
  const pipeline = await openPipeline({ models: folder.path })
  const { broker, connection, countIn } = pipeline
  const producer = await createProducer({ connection, source: 'test' })
  const receiver = await startOtlpReceiver()
  return {
    ...pipeline,
    broker,
    producer,
    receiver,
    answered: (count: number) =>
      eventually(`${count} outcomes`, async () => (await countIn(STREAMS.results)) >= count),
    spanWhere: (matches: (span: ReceivedSpan) => boolean) =>
      eventually(`a span where ${matches}`, () => receiver.spans.find(matches), {
        seen: () => receiver.spans.map(({ service, name }) => `${service}: ${name}`),
      }),
    close: async () => {
      await pipeline.endWorkers('SIGKILL')
      await producer.close()
      await pipeline.close()
      await receiver.close()
      await folder.remove()
    },
  }
}

describe.concurrent('traces', () => {
  test('one event is one trace from producer to subscriber, across three processes', async ({ stage }) => {
    const { receiver, startWorker, spanWhere } = stage
    const env = { ...otlpEnv(receiver.url), ...stage.env }
    await startWorker(env)
    const watcher = startCli(['watch', '--count', '1', '--json'], { env })
    await watcher.until('watching')
    const line = JSON.stringify({ id: 'traced', inputs: inputs(1) })
    const publisher = startCli(['publish', MODEL], { env, input: `${line}\n` })
    expect([await publisher.ended, await watcher.ended]).toEqual([0, 0])

    const published = await spanWhere(({ name }) => name === `publish features.${MODEL}.normal`)
    expect(published).toMatchObject({ service: 'pelton-cli', kind: PRODUCER })
    const source = String(published.attributes['cloudevents.event_source'])
    const token = eventToken(MODEL, source, 'traced')
    const ids = { 'messaging.message.id': token, 'cloudevents.event_id': 'traced' }
    expect(published.attributes).toMatchObject({ 'messaging.system': 'nats', ...ids })
    const stored = await spanWhere(({ name }) => name === `publish results.${MODEL}`)
    expect(stored).toMatchObject({
      service: 'pelton-worker',
      kind: PRODUCER,
      traceId: published.traceId,
      parentSpanId: published.spanId,
    })
    expect(stored.attributes).toMatchObject({
      ...ids,
      'cloudevents.event_source': source,
      'pelton.outcome': 'predicted',
    })
    const subscribed = await spanWhere(({ name }) => name === `process results.${MODEL}`)
    expect(subscribed).toMatchObject({
      service: 'pelton-cli',
      kind: CONSUMER,
      traceId: published.traceId,
      parentSpanId: stored.spanId,
    })
    expect(subscribed.attributes).toMatchObject(ids)

    const batch = await spanWhere(({ name }) => name === `process features.${MODEL}`)
    expect(batch.parentSpanId ?? '').toBe('')
    expect(batch.traceId).not.toBe(published.traceId)
    expect(batch.links).toMatchObject([
      { traceId: published.traceId, spanId: published.spanId, attributes: ids },
    ])
    expect(stored.links).toMatchObject([{ traceId: batch.traceId, spanId: batch.spanId }])
    for (const name of [`infer ${MODEL}`, 'ack features']) {
      const child = await spanWhere((span) => span.name === name)
      expect(child).toMatchObject({ traceId: batch.traceId, parentSpanId: batch.spanId })
    }
  })

  test('a flight of the demo is one trace from its producer to its subscriber', async ({ stage }) => {
    const { receiver, startWorker, spanWhere } = stage
    const env = { ...otlpEnv(receiver.url), ...stage.env }
    await startWorker({ ...env, PELTON_MODELS: DEMO_MODELS })
    const sides = await Promise.all(
      (['send-flights', 'count-answers'] as const).map((entry) =>
        runDemoEntry(entry, ['--flights', '3'], env),
      ),
    )
    expect(
      sides.map(({ code }) => code),
      sides.map(({ text }) => text).join(''),
    ).toEqual([0, 0])

    const published = await spanWhere(({ service }) => service === 'pelton-demo-producer')
    expect(published).toMatchObject({ name: `publish features.${DEMO_MODEL}.normal`, kind: PRODUCER })
    const inTrace = ({ traceId }: ReceivedSpan): boolean => traceId === published.traceId
    const stored = await spanWhere((span) => inTrace(span) && span.service === 'pelton-worker')
    const counted = await spanWhere((span) => inTrace(span) && span.service === 'pelton-demo-subscriber')
    expect(stored).toMatchObject({
      name: `publish results.${DEMO_MODEL}`,
      parentSpanId: published.spanId,
    })
    expect(counted).toMatchObject({ name: `process results.${DEMO_MODEL}`, parentSpanId: stored.spanId })
  })

  test('a batch has a link for each sampled event; what is not sampled costs no span', async ({ stage }) => {
    const { producer, receiver, workers, startWorker, answered } = stage
    const sampled = Array.from({ length: 64 }, () => traceparent(true))
    await Promise.all(
      sampled.map(({ text }, index) =>
        producer.publish({ model: MODEL, id: `s-${index}`, inputs: inputs(index), traceparent: text }),
      ),
    )
    await startWorker({
      ...otlpEnv(receiver.url),
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0',
    })
    // However many batches they come in.
    const batches = () => receiver.spans.filter(({ name }) => name === `process features.${MODEL}`)
    const links = () => batches().flatMap((batch) => batch.links)
    await eventually('64 links', () => links().length >= 64, { seen: () => links().length })
    for (const batch of batches())
      expect(batch.attributes).toMatchObject({
        'messaging.batch.message_count': batch.links.length,
        'messaging.consumer.group.name': 'worker-default-normal',
      })
    expect(new Set(links().map(({ traceId }) => traceId))).toEqual(
      new Set(sampled.map(({ traceId }) => traceId)),
    )
    expect(links()).toHaveLength(64)
    expect(new Set(links().map(({ attributes }) => attributes['messaging.message.id'])).size).toBe(64)
    const before = batches().length
    await answered(64)

    const unsampled = traceparent(false)
    await producer.publish({ model: MODEL, id: 'u', inputs: inputs(1), traceparent: unsampled.text })
    await producer.publish({ model: MODEL, id: 'none', inputs: inputs(1) })
    await answered(66)
    await endWell(workers[0] as WorkerProcess)
    expect(batches()).toHaveLength(before)
    expect(receiver.spans.filter(({ name }) => name === `publish results.${MODEL}`)).toHaveLength(64)
    expect(receiver.spans.some(({ traceId }) => traceId === unsampled.traceId)).toBe(false)
  })

  test('log lines of an event carry its id, model, attempt and trace', async ({ stage }) => {
    const { producer, receiver, startWorker, answered, spanWhere } = stage
    const worker = await startWorker({ ...otlpEnv(receiver.url), PELTON_LOG_LEVEL: 'debug' })
    const { traceId, text } = traceparent(true)
    await producer.publish({ model: MODEL, id: 'bad', inputs: [], traceparent: text })
    await answered(1)
    await endWell(worker)
    const line = worker.log.find(({ eventId }) => eventId === 'bad')
    expect(line).toMatchObject({ msg: 'dead-lettered', model: MODEL, attempt: 1, trace_id: traceId })
    const span = await spanWhere((each) => each.attributes['cloudevents.event_id'] === 'bad')
    expect(span).toMatchObject({ traceId, attributes: { 'pelton.outcome': 'dead-lettered' } })
  })

  test('what goes to the retry lane, and comes from it, is told apart in spans and metrics', async ({
    stage,
  }) => {
    const { producer, receiver, startWorker, answered } = stage
    const gather = await modelsFolder(['gather'])
    const env = { ...otlpEnv(receiver.url), PELTON_HTTP_PORT: '0' }
    const worker = await startWorker(env, { models: gather.path })
    const { traceId, text } = traceparent(true)
    // The index lies outside the model's table: the runtime fails on it each time.
    const outside = [{ name: 'index', shape: [1], datatype: 'INT64' as const, data: [1_000_000n] }]
    await producer.publish({ model: 'gather', id: 'fails', inputs: outside, traceparent: text })
    await producer.publish({ model: 'nobody-serves-this', id: 'lost', inputs: inputs(1), traceparent: text })
    await answered(2)
    const due = { messaging_destination_template: DUE }
    const series = await scrapeWhere(
      worker,
      (each) => each.value('messaging_process_duration_seconds_count', due) === 2,
    )
    await endWell(worker)

    const inTrace = receiver.spans.filter((span) => span.traceId === traceId).map(({ name }) => name)
    expect(inTrace.sort()).toEqual([
      'publish results.(unknown)',
      'publish results.gather',
      'publish retries.gather',
      'publish retries.gather',
    ])
    const batches = receiver.spans.filter(({ name }) => name.startsWith('process '))
    expect(batches.map(({ name }) => name).sort()).toEqual([
      'process due.gather',
      'process due.gather',
      'process features.gather',
    ])
    expect(batches.find(({ name }) => name === 'process due.gather')?.attributes).toMatchObject({
      'messaging.consumer.group.name': 'retry-default-normal',
      'messaging.destination.template': DUE,
    })
    expect(sentTo(series, RETRIES)).toBe(2)
    expect(series.value('messaging_client_consumed_messages_total', due)).toBe(2)
    const failed = { error_type: 'inference-failed' }
    expect(series.value('pelton_inference_duration_seconds_count', failed)).toBe(3)
    await gather.remove()
  })

  test('an endpoint that is dead does not disturb the worker, and is spoken of once', async ({ stage }) => {
    const { producer, startWorker, answered } = stage
    const worker = await startWorker(otlpEnv('http://127.0.0.1:9'))
    await Promise.all(
      Array.from({ length: 200 }, (_event, index) =>
        producer.publish({
          model: MODEL,
          id: `d-${index}`,
          inputs: inputs(1),
          traceparent: traceparent(true).text,
        }),
      ),
    )
    await answered(200)
    const isTrouble = ({ msg }: Readonly<Record<string, unknown>>): boolean => /telemetry/.test(String(msg))
    await eventually('a word about the endpoint', () => worker.log.some(isTrouble))
    await endWell(worker)
    expect(worker.log.filter(isTrouble)).toHaveLength(1)
  })
})

/**
 * Told only of a model that is not servable, fails on everything or runs apart, and of credentials that end:
 * `not-servable.test.ts`, `breaker.test.ts`, `endless-runs.test.ts` and `security-expiry.test.ts` see them.
 */
const IN_TROUBLE: readonly string[] = [
  METRICS.credentialsLeft,
  METRICS.laneStanding,
  METRICS.modelNotServable,
  METRICS.modelBreaker,
  METRICS.modelTimedOut,
  METRICS.modelWaiting,
].map(({ prometheus }) => prometheus)

describe.concurrent('metrics', () => {
  test('a worker under load shows every metric of its table, and none outside it', async ({ stage }) => {
    const { producer, startWorker, answered } = stage
    const worker = await startWorker({ PELTON_HTTP_PORT: '0' })
    const events = Array.from({ length: 300 }, (_event, index) => ({
      id: `m-${index}`,
      inputs: inputs(index),
    }))
    await Promise.all(events.map((event) => producer.publish({ model: MODEL, ...event })))
    await producer.publish({ model: MODEL, id: 'bad', inputs: [] })
    await producer.publish({ model: 'nobody-serves-this', id: 'lost', inputs: inputs(1) })
    await answered(302)
    const series = await scrapeWhere(worker, (each) => sentTo(each, RESULTS) === 302)

    const ours: Metric[] = Object.values(METRICS).filter((metric: Metric) =>
      metric.sources.includes('worker'),
    )
    const names = ours.map(({ prometheus }) => prometheus)
    expect(new Set([...series.metrics.keys(), ...IN_TROUBLE])).toEqual(new Set(names))
    expect(IN_TROUBLE.filter((name) => series.metrics.has(name))).toEqual([])
    for (const { prometheus, kind, description, labels } of ours) {
      if (IN_TROUBLE.includes(prometheus)) continue
      const metric = series.metrics.get(prometheus)
      expect(metric).toMatchObject({ type: kind, help: description })
      const allowed = new Set([
        ...labels.map((label) => label.replaceAll('.', '_')),
        'le',
        PREFIX_ATTRIBUTE.replaceAll('.', '_'),
      ])
      for (const { labels: found } of metric?.samples ?? [])
        expect(Object.keys(found).filter((label) => !allowed.has(label))).toEqual([])
    }
    expect(series.value('pelton_outcomes_total', { model: MODEL, outcome: 'predicted' })).toBe(300)
    expect(series.value('pelton_outcomes_total', { outcome: 'dead-lettered', reason: 'unknown-model' })).toBe(
      1,
    )
    expect(
      series.samples('pelton_outcomes_total').some(({ labels }) => labels.model === 'nobody-serves-this'),
    ).toBe(false)
    expect(series.value('pelton_queue_wait_seconds_count', { model: MODEL, lane: 'normal' })).toBe(300)
    expect(series.value('pelton_event_duration_seconds_count', { model: MODEL, lane: 'normal' })).toBe(301)
    expect(series.value('pelton_batch_rows_sum', { model: MODEL })).toBe(300)
    expect(series.value('messaging_client_consumed_messages_total', {})).toBe(302)
    expect(sentTo(series, 'deadletters.{model}.{token}')).toBe(2)
    expect(sentTo(series, RETRIES)).toBe(0)
    expect(series.value('pelton_model_info', { model: MODEL, version: '1' })).toBe(1)
    expect(series.value('pelton_lifecycle_state', { state: 'ready' })).toBe(1)
    expect(series.value('pelton_backlog_rows', { lane: 'normal' })).toBe(0)
    expect(series.value('pelton_storage_refusing', { stream_name: STREAMS.results })).toBe(0)
  })

  test('are sent by OTLP as well, beside the endpoint of Prometheus', async ({ stage }) => {
    const { producer, receiver, startWorker, answered } = stage
    const worker = await startWorker({ ...otlpEnv(receiver.url), PELTON_HTTP_PORT: '0' })
    await producer.publish({ model: MODEL, id: 'one', inputs: inputs(1) })
    await answered(1)
    await eventually('metrics by OTLP', () => receiver.metrics.has(METRICS.outcomes.name))
    const address = await addressOf(worker)
    expect(await (await fetch(`${address}/metrics`)).text()).toContain(METRICS.outcomes.prometheus)
  })

  test('OTEL_SDK_DISABLED leaves health and takes the rest', async ({ stage }) => {
    const { receiver, startWorker } = stage
    const worker = await startWorker({
      ...otlpEnv(receiver.url),
      PELTON_HTTP_PORT: '0',
      OTEL_SDK_DISABLED: 'true',
    })
    const address = await addressOf(worker)
    expect((await fetch(`${address}/readyz`)).status).toBe(200)
    expect((await fetch(`${address}/metrics`)).status).toBe(404)
  })
})
