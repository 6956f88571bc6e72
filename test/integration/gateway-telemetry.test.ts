import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UNKNOWN_MODEL } from '../../shared/runtime/metrics.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { type OtlpReceiver, otlpEnv, type ReceivedSpan, startOtlpReceiver } from '../kit/otlp-receiver.ts'
import { programArgs } from '../kit/program.ts'
import { readPrometheus, type Scrape } from '../kit/prometheus-text.ts'
import { eventually } from '../kit/wait.ts'

const SERVER = 2
const PRODUCER = 4
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CALLER = 'b7ad6b7169203331'

let broker: TestBroker
let receiver: OtlpReceiver
let child: ChildProcess
let address: string

beforeAll(async () => {
  receiver = await startOtlpReceiver()
  broker = await startTestBroker()
  await broker.provision()
  const { url, prefix } = broker.place
  const env = {
    ...process.env,
    ...otlpEnv(receiver.url),
    OTEL_METRICS_EXPORTER: 'prometheus',
    PELTON_NATS_URL: url,
    ...(prefix !== undefined && { PELTON_PREFIX: prefix }),
  }
  child = spawn(process.execPath, programArgs('test/integration/gateway-telemetry-process'), {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')
  address = String(line)
})

afterAll(async () => {
  if (child?.exitCode === null) {
    const ended = once(child, 'exit')
    child.stdin?.end()
    await ended
  }
  await receiver?.close()
  await broker?.stop()
})

const post = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${address}${path}`, { method: 'POST', headers })

const spanWhere = (matches: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan> =>
  eventually(`a span where ${matches}`, () => receiver.spans.find(matches), {
    seen: () => receiver.spans.map(({ name, traceId }) => `${name} ${traceId}`),
  })

async function scrape(): Promise<Scrape> {
  return readPrometheus(await (await fetch(`${address}/metrics`)).text())
}

describe('traces of the gateway', () => {
  test('a request is a span below that of its caller, and above that of its event', async () => {
    const answer = await post('/v2/models/traced/infer', {
      traceparent: `00-${TRACE}-${CALLER}-01`,
      tracestate: 'vendor=1',
    })
    expect(answer.status).toBe(200)
    const published = await spanWhere(({ name }) => name === 'publish features.traced.normal')
    const request = await spanWhere(({ spanId }) => spanId === published.parentSpanId)
    expect(published).toMatchObject({ kind: PRODUCER, traceId: TRACE })
    expect(request).toMatchObject({
      service: 'pelton-gateway',
      name: 'POST /v2/models/{model}/infer',
      kind: SERVER,
      traceId: TRACE,
      parentSpanId: CALLER,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/v2/models/{model}/infer',
        'http.response.status_code': 200,
        'url.scheme': 'http',
      },
    })
  })

  test('a caller without a trace begins one; what it says of one that is none is not passed on', async () => {
    const answer = await post('/v2/models/alone/infer', { traceparent: 'nonsense', tracestate: 'vendor=1' })
    const { traceparent } = (await answer.json()) as { traceparent: string }
    const published = await spanWhere(({ name }) => name === 'publish features.alone.normal')
    const request = await spanWhere(({ spanId }) => spanId === published.parentSpanId)
    expect(traceparent).toBe(`00-${request.traceId}-${request.spanId}-01`)
    expect(request.parentSpanId ?? '').toBe('')
  })

  test('a caller whose trace is not sampled has none here either', async () => {
    const other = TRACE.replace('0af', '1af')
    const answer = await post('/v2/models/quiet/infer', { traceparent: `00-${other}-${CALLER}-00` })
    const { traceparent } = (await answer.json()) as { traceparent: string }
    expect(traceparent).toMatch(new RegExp(`^00-${other}-[0-9a-f]{16}-00$`))
    await post('/v2/models/loud/infer')
    await spanWhere(({ name }) => name === 'publish features.loud.normal')
    expect(receiver.spans.filter(({ traceId }) => traceId === other)).toEqual([])
  })

  test('what fails says so, and what no route has is named by its method', async () => {
    await fetch(`${address}/failing`)
    const failed = await spanWhere(({ name }) => name === 'GET /failing')
    expect(failed.attributes).toMatchObject({ 'http.response.status_code': 503, 'error.type': '503' })
    await fetch(`${address}/made-up/by-somebody`, { method: 'DELETE' })
    const unknown = await spanWhere(({ name }) => name === 'DELETE')
    expect(unknown.attributes).toMatchObject({ 'http.response.status_code': 404 })
    expect(unknown.attributes).not.toHaveProperty('http.route')
  })
})

describe('metrics of the gateway', () => {
  test('a request has method, route and status, and one that nobody waits for was aborted', async () => {
    await post('/v2/models/counted/infer')
    const leaving = new AbortController()
    const left = fetch(`${address}/hanging`, { signal: leaving.signal }).catch(() => 'left')
    const active = { http_request_method: 'GET', url_scheme: 'http' }
    // The reading itself is under way as well.
    await eventually(
      'the request to be under way',
      async () => (await scrape()).value('http_server_active_requests', active) === 2,
    )
    leaving.abort()
    expect(await left).toBe('left')
    const look = async () => {
      const series = await scrape()
      const aborted = { http_route: '/hanging', error_type: 'aborted' }
      return series.value('http_server_request_duration_seconds_count', aborted) === 1 && series
    }
    const series = await eventually('the request to be over', look)
    expect(series.value('http_server_active_requests', active)).toBe(1)
    const infer = {
      http_request_method: 'POST',
      http_route: '/v2/models/{model}/infer',
      http_response_status_code: '200',
    }
    expect(series.value('http_server_request_duration_seconds_count', infer)).toBeGreaterThan(0)
    const counted = { model: 'counted', protocol: 'open-inference', ended: 'prediction' }
    expect(
      series.value('pelton_gateway_requests_total', { ...counted, http_response_status_code: '200' }),
    ).toBe(1)
  })

  test('requests of a connection that is gone are over, also those that waited behind another', async () => {
    const active = async () =>
      (await scrape()).value('http_server_active_requests', {
        http_request_method: 'GET',
        url_scheme: 'http',
      })
    const { hostname, port } = new URL(address)
    const leaving = connect(Number(port), hostname)
    leaving.write('GET /hanging HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(3))
    // The reading itself is under way as well.
    await eventually('the requests to be under way', async () => (await active()) === 4)
    leaving.destroy()
    await eventually('the requests to be over', async () => (await active()) === 1, { seen: active })
  })

  test('limits are shares, at most all of it, and none where there is no limit', async () => {
    const series = await scrape()
    const used = (limit: string) => series.value('pelton_gateway_limit_used_ratio', { limit })
    expect([used('connections'), used('requests'), used('bytes')]).toEqual([0.25, undefined, 1])
    const gauges = ['connections', 'in_flight_requests', 'in_flight_bytes', 'keys']
    expect(gauges.map((name) => series.value(`pelton_gateway_${name}`, {}))).toEqual([50, 1, 1_024, 3])
  })

  test('names from outside do not become labels', async () => {
    await post('/ended/made-up/refused/unknown-model')
    await post('/ended/waited-for/left/none')
    for (let index = 0; index < 600; index++) await post(`/ended/model-${index}/refused/reason-${index}`)
    const series = await scrape()
    const of = (labels: Record<string, string>) => series.value('pelton_gateway_requests_total', labels)
    expect(of({ model: 'made-up' })).toBeUndefined()
    expect(of({ model: UNKNOWN_MODEL, reason: 'unknown-model' })).toBe(1)
    expect(of({ model: 'model-1' })).toBe(1)
    expect(of({ model: 'model-599' })).toBeUndefined()
    expect(of({ reason: 'reason-599' })).toBeUndefined()
    expect(of({ model: UNKNOWN_MODEL, reason: '(other)' })).toBeGreaterThan(0)
    expect(of({ ended: 'refused' })).toBe(601)
    expect(series.value('pelton_gateway_abandoned_total', { model: 'waited-for' })).toBe(1)
    // One that ended otherwise was for somebody.
    expect(series.value('pelton_gateway_abandoned_total', {})).toBe(1)
  })
})
