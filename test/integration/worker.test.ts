import { writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import { afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type FlightEvent, loadFlights } from '../../services/demo/flights.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline, SOURCE } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

const MODEL = 'flight-delay'
/** Counts up to its input, one run after the other. */
const SLOW = 'counts-up'
let flights: FlightEvent[]
let pipeline: Pipeline
let connection: NatsConnection

beforeAll(async () => {
  flights = await loadFlights({ count: 500 })
})

beforeEach(async () => {
  pipeline = await openPipeline({ topology: { ackWaitMs: 3_000 } })
  connection = pipeline.connection
})

afterEach(() => pipeline.close())

const publish = (
  id: string,
  body: string,
  extra: Readonly<Record<string, string>> = {},
  model = MODEL,
): Promise<string> => pipeline.publish({ id, body, headers: extra, model })

const publishFlights = (some: readonly FlightEvent[]): Promise<string[]> =>
  Promise.all(some.map((flight) => publish(flight.id, recordOf(flight))))

/** Resolves with the first message on a subject. */
async function firstOf(subject: string): Promise<void> {
  for await (const _ of connection.subscribe(namesOf(connection).subject(subject), { max: 1 })) return
}

/** Header bytes as no client library would send them. */
async function publishRaw(block: string, subject: string, body: string): Promise<void> {
  const socket = createConnection(pipeline.broker.port, '127.0.0.1')
  const header = Buffer.from(block)
  const sizes = `${header.length} ${header.length + Buffer.byteLength(body)}`
  const done = new Promise<void>((resolve) => {
    socket.on('data', (data) => {
      if (data.includes('PONG')) resolve()
    })
  })
  const hello = 'CONNECT {"verbose":false,"headers":true}\r\n'
  socket.write(
    Buffer.concat([
      Buffer.from(`${hello}HPUB ${subject} ${sizes}\r\n`),
      header,
      Buffer.from(`${body}\r\nPING\r\n`),
    ]),
  )
  await done
  socket.destroy()
}

function recordOf(flight: FlightEvent): string {
  return JSON.stringify({ features: flight.features })
}

describe('worker', () => {
  test('answers every event of a batch with its own prediction, and names each in the ledger', async () => {
    const tokens = await publishFlights(flights)
    await pipeline.startWorker()
    const outcomes = await pipeline.settled(flights.length)
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(tokens))
    expect(outcomes.failures.size).toBe(0)
    expect(
      [...outcomes.ledger.values()].every((ended) => ended.length === 1 && ended[0] === 'predicted'),
    ).toBe(true)
    expect(outcomes.ledger.size).toBe(flights.length)
    const prediction = outcomes.predictions.get(tokens[0]!)!
    expect(JSON.parse(Buffer.from(prediction.body).toString())).toMatchObject({
      model_name: MODEL,
      model_version: '2',
      id: flights[0]!.id,
    })
    expect(readHeader(prediction.headers, HEADERS.correlationId)).toBe(flights[0]!.id)
    expect(Number(readHeader(prediction.headers, HEADERS.batchRows))).toBeGreaterThan(0)
  })

  test('makes a dead letter with reason, stage and full payload of each bad event, and predicts its neighbours', async () => {
    const good = recordOf(flights[0]!)
    const bad: [id: string, body: string, extra: Record<string, string>, reason: string, model?: string][] = [
      ['broken', good.slice(0, 40), {}, 'malformed'],
      [
        'missing',
        JSON.stringify({ features: { ...flights[0]!.features, distance: undefined } }),
        {},
        'schema-mismatch',
      ],
      [
        'wrong-type',
        JSON.stringify({ features: { ...flights[0]!.features, hour: 'noon' } }),
        {},
        'schema-mismatch',
      ],
      [
        'extra',
        JSON.stringify({ features: { ...flights[0]!.features, colour: 'red' } }),
        {},
        'schema-mismatch',
      ],
      ['late', good, { 'ce-expirytime': '2001-01-01T00:00:00Z' }, 'deadline-exceeded'],
      ['deadline', good, { 'ce-expirytime': 'soon' }, 'malformed'],
      ['contract', good, { 'Pelton-Contract': '2' }, 'malformed'],
      ['version', good, { 'Pelton-Model-Version': '9' }, 'unknown-model'],
      ['encoding', good, { 'ce-datacontenttype': 'text/csv' }, 'malformed'],
      ['nobody', good, {}, 'unknown-model', 'no model'],
    ]
    for (const [id, body, extra, , model] of bad) await publish(id, body, extra, model)
    const goodTokens = await publishFlights(flights.slice(0, 50))
    const worker = await pipeline.startWorker()
    const outcomes = await pipeline.settled(bad.length + 50)
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(goodTokens))
    for (const [id, body, , reason, model = MODEL] of bad) {
      const deadLetter = outcomes.deadLetters.get(eventToken(model, SOURCE, id))
      expect(deadLetter && readHeader(deadLetter.headers, HEADERS.deadLetterReason), id).toBe(reason)
      expect(Buffer.from(deadLetter!.body).toString()).toBe(body)
      expect(readHeader(deadLetter!.headers, HEADERS.id)).toBe(id)
      expect(readHeader(deadLetter!.headers, HEADERS.deadLetterDescription)).not.toBe('')
    }
    expect(outcomes.failures.size).toBe(bad.length)
    expect(worker.log.filter(({ level }) => level === 'fatal')).toEqual([])
  })

  test('refuses an event whose deadline passes while it waits for its batch, and predicts its neighbours', async () => {
    // It is pulled at once, and waits behind runs that take longer than it has time.
    const folder = await modelsFolder([SLOW])
    onTestFinished(() => folder.remove())
    await writeFile(
      join(folder.path, SLOW, 'manifest.yaml'),
      'batching: { maxRows: 1 }\nlimits: { timeoutMs: 600000 }\n',
    )
    await pipeline.startWorker({ PELTON_THREADS: '1' }, { models: folder.path })
    const counting = (to: number): string =>
      JSON.stringify({ inputs: [{ name: 'x', shape: [1, 1], datatype: 'FP32', data: [to] }] })
    const until = (ms: number) => ({ 'ce-expirytime': new Date(Date.now() + ms).toISOString() })
    // Of a second attempt it is noted that it is about to run: when both are, no place is left.
    const ids = ['0', '1']
    const begun = Promise.all(ids.map((id) => firstOf(subjects.startMark(eventToken(SLOW, SOURCE, id)))))
    await connection.flush()
    const again = { [HEADERS.attempt]: '2' }
    const neighbours = await Promise.all(ids.map((id) => publish(id, counting(1e6), again, SLOW)))
    await begun
    const late = await publish('late', counting(1), until(600), SLOW)
    neighbours.push(await publish('patient', counting(1), until(3_600_000), SLOW))
    const outcomes = await pipeline.settled(4)
    expect(new Set(outcomes.predictions.keys())).toEqual(new Set(neighbours))
    const deadLetter = outcomes.deadLetters.get(late)!
    expect(readHeader(deadLetter.headers, HEADERS.deadLetterReason)).toBe('deadline-exceeded')
    // On a machine too busy to pull it in time, the first look finds it already.
    expect(['batch', 'guard']).toContain(readHeader(deadLetter.headers, HEADERS.stage))
    expect([...outcomes.ledger.values()].flat().sort()).toEqual([
      'dead-lettered',
      ...neighbours.map(() => 'predicted'),
    ])
  })

  test('reads events of plain clients: only Nats-Msg-Id, no headers at all, structured CloudEvents with and without a content type', async () => {
    const subject = namesOf(connection).subject(
      subjects.feature({ pool: 'default', model: MODEL, lane: 'high' }),
    )
    const body = recordOf(flights[0]!)
    const withId = headers()
    withId.set('nats-msg-id', 'plain-1')
    await connection.request(subject, body, { headers: withId, timeout: 5_000 })
    await connection.request(subject, body)
    const structured = headers()
    structured.set('content-type', 'application/cloudevents+json')
    const envelope = { specversion: '1.0', id: 's-1', source: SOURCE, type: 'x', data: JSON.parse(body) }
    await connection.request(subject, JSON.stringify(envelope), { headers: structured, timeout: 5_000 })
    await connection.request(subject, JSON.stringify({ ...envelope, id: 's-2' }), { timeout: 5_000 })
    await pipeline.startWorker()
    const outcomes = await pipeline.settled(4)
    expect(outcomes.predictions.has(eventToken(MODEL, 'unknown', 'plain-1'))).toBe(true)
    expect(outcomes.predictions.has(eventToken(MODEL, SOURCE, 's-1'))).toBe(true)
    expect(outcomes.predictions.has(eventToken(MODEL, SOURCE, 's-2'))).toBe(true)
    expect(outcomes.predictions.size).toBe(4)
  })

  test('answers an event once, also when it is published again after the window of the stream', async () => {
    await pipeline.startWorker()
    const token = await publish('again', recordOf(flights[0]!))
    const first = (await pipeline.settled(1)).predictions.get(token)
    await publish('again', recordOf(flights[0]!))
    await publish('again', recordOf(flights[1]!))
    const outcomes = await pipeline.settled(1)
    expect(outcomes.predictions.get(token)?.sequence).toBe(first?.sequence)
    expect([...outcomes.ledger.values()].flat().sort()).toEqual([
      'already-answered',
      'already-answered',
      'predicted',
    ])
  })

  test('sends the wake-up copy only to reply inboxes', async () => {
    await pipeline.startWorker()
    const inbox = '_INBOX.test.1'
    const woken = new Promise<string>((resolve) => {
      connection.subscribe(inbox, {
        max: 1,
        callback: (_error, message) => resolve(message.headers?.get(HEADERS.outcome) ?? ''),
      })
    })
    const elsewhere: string[] = []
    connection.subscribe('orders.>', { callback: (_error, message) => void elsewhere.push(message.subject) })
    await publish('waits', recordOf(flights[0]!), { 'Pelton-Reply-To': inbox })
    await publish('attack', recordOf(flights[1]!), { 'Pelton-Reply-To': 'orders.cancel' })
    expect(await woken).toBe('prediction')
    await pipeline.settled(2)
    await connection.flush()
    expect(elsewhere).toEqual([])
  })

  test('reads headers the client cannot: an event with hostile header bytes harms only itself', async () => {
    await pipeline.startWorker()
    const subject = namesOf(connection).subject(
      subjects.feature({ pool: 'default', model: MODEL, lane: 'normal' }),
    )
    const body = recordOf(flights[0]!)
    const many = Array.from({ length: 8_000 }, (_, index) => `h${index}:`).join('\r\n')
    for (const line of ['bad name: 1', 'x: a\nb', '\u00e9: 2', 'ce-id: \ud83d', many]) {
      await publishRaw(`NATS/1.0\r\n${line}\r\n\r\n`, subject, body)
    }
    const tokens = await publishFlights(flights.slice(0, 20))
    const outcomes = await pipeline.settled(5 + 20)
    for (const token of tokens) expect(outcomes.predictions.has(token)).toBe(true)
    expect(outcomes.predictions.size).toBe(25)
  })

  test('a producer can neither replace a prediction nor take the token of another event', async () => {
    await pipeline.startWorker()
    const token = await publish('mine', recordOf(flights[0]!))
    const first = (await pipeline.settled(1)).predictions.get(token)!
    await publish('mine', recordOf(flights[1]!), { 'Pelton-Supersedes': String(first.sequence) })
    const victim = eventToken(MODEL, SOURCE, 'victim')
    const forged = { 'Pelton-Token': victim, 'Pelton-Origin': 'FEATURES 2026-01-01T00:00:00Z 1' }
    await publish('forger', recordOf(flights[2]!), forged)
    await pipeline.settled(2)
    await publish('victim', recordOf(flights[3]!))
    const outcomes = await pipeline.settled(3)
    expect(outcomes.predictions.get(token)?.sequence).toBe(first.sequence)
    const answer = JSON.parse(Buffer.from(outcomes.predictions.get(victim)!.body).toString())
    expect(answer.id).toBe('victim')
  })

  test('a model name too long for a subject is a dead letter, and the connection lives', async () => {
    await pipeline.startWorker()
    const subject = namesOf(connection).subject(`features.default.${'m'.repeat(3_900)}.normal`)
    await connection.request(subject, recordOf(flights[0]!), { timeout: 5_000 })
    const inbox = `_INBOX.${'x'.repeat(3_500)}`
    const token = await publish('long reply', recordOf(flights[1]!), { 'Pelton-Reply-To': inbox })
    const outcomes = await pipeline.settled(2)
    expect(outcomes.predictions.has(token)).toBe(true)
    const [deadLetter] = [...outcomes.deadLetters.values()]
    expect(readHeader(deadLetter!.headers, HEADERS.deadLetterReason)).toBe('unknown-model')
  })

  test('drains when its supervisor is gone', async () => {
    await publishFlights(flights)
    const worker = await pipeline.startWorker()
    worker.disconnect()
    expect(await worker.ended).toBe(0)
  })

  test('drains on SIGTERM: what it holds is settled, exit 0, nothing waits for a timeout', async () => {
    // What is neither settled nor given back would come again only after ten minutes.
    await provision(connection, { topology: { ackWaitMs: 600_000 } })
    await publishFlights(flights)
    const worker = await pipeline.startWorker({ PELTON_HELD_ROWS: '64' })
    worker.kill('SIGTERM')
    expect(await worker.ended).toBe(0)
    await pipeline.startWorker()
    const outcomes = await pipeline.settled(flights.length)
    expect(outcomes.predictions.size).toBe(flights.length)
  })

  test('stops pulling while the results stream refuses, and goes on when it takes messages again', async () => {
    const info = await streamInfo(connection, STREAMS.results)
    const full = { ...info!.config, discard: 'new', max_msgs: 1 }
    await requestApi(connection, `STREAM.UPDATE.${STREAMS.results}`, full)
    await publishFlights(flights)
    const worker = await pipeline.startWorker({ PELTON_HELD_ROWS: '64' })
    await eventually('the worker to stop pulling', () =>
      worker.log.some(({ msg }) => String(msg).startsWith('pulling stops')),
    )
    expect((await readOutcomes(connection)).waiting).toBeGreaterThanOrEqual(flights.length - 1)
    await requestApi(connection, `STREAM.UPDATE.${STREAMS.results}`, { ...info!.config })
    const outcomes = await pipeline.settled(flights.length)
    expect(outcomes.predictions.size).toBe(flights.length)
    await eventually('the worker to say that it goes on', () =>
      worker.log.some(({ msg }) => String(msg).startsWith('pulling goes on')),
    )
  })

  test('goes on after the broker was killed and came back', async () => {
    await pipeline.startWorker()
    await publishFlights(flights.slice(0, 100))
    await pipeline.broker.kill()
    await pipeline.broker.restart()
    await eventually('the connection to be back', () => connection.rtt().then(Boolean, () => false))
    for (const flight of flights.slice(100, 200)) await publish(flight.id, recordOf(flight))
    const outcomes = await pipeline.settled(200)
    expect(outcomes.predictions.size).toBe(200)
  })

  test('refuses to start where nothing is provisioned, and says what to do', async () => {
    await requestApi(connection, `STREAM.DELETE.${STREAMS.ledger}`)
    await expect(pipeline.startWorker()).rejects.toThrow(
      /stream (?:\w+-)?LEDGER does not exist on this broker.*pelton provision/s,
    )
  })

  test('refuses settings it cannot use, all at once', async () => {
    const attempt = pipeline.startWorker({ PELTON_THREADS: 'many', PELTON_LINGER_MS: '-1' })
    await expect(attempt).rejects.toThrow(/ended \(2\).*PELTON_THREADS.*PELTON_LINGER_MS/s)
  })
})
