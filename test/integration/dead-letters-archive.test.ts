import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { addDeadLetterRoutes } from '../../services/control/http/dead-letter-routes.ts'
import type { ApiParts } from '../../services/control/http/parts.ts'
import { listActs } from '../../shared/operations/dead-letters/acts.ts'
import type { DeadLetterFilter } from '../../shared/operations/dead-letters/filter.ts'
import { pageDeadLetters } from '../../shared/operations/dead-letters/page.ts'
import { exportLines, type ImportResult, importLines } from '../../shared/operations/dead-letters/transfer.ts'
import { recordEnded } from '../../shared/operations/records/endings.ts'
import type { OpsStore } from '../../shared/operations/records/store.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { openHttp } from '../../shared/runtime/http.ts'
import { readLines } from '../../shared/runtime/lines.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { readStream } from '../kit/outcomes.ts'
import { runCli } from './cli-process.ts'

const NEVER_MS = 3_600_000
const { signal } = new AbortController()

let broker: TestBroker
let connection: NatsConnection
let store: OpsStore & { close(): void }

beforeEach(async () => {
  broker = await startTestBroker()
  connection = await broker.connect()
  await broker.provision()
  store = openStore(connection)
})

afterEach(async () => {
  store.close()
  await broker.stop()
})

const tokenOf = (id: string): string => eventToken('m', 'test', id)

/** A line of an archive. */
function lineOf(id: string, failedAt = '2026-01-01T00:00:00.000Z'): string {
  const headers = {
    [HEADERS.token.toLowerCase()]: tokenOf(id),
    [HEADERS.deadLetterReason]: 'shed',
    [HEADERS.failedAt]: failedAt,
  }
  return `${JSON.stringify({ model: 'm', token: tokenOf(id), storedAt: failedAt, headers, text: id })}\n`
}

const ids = (count: number): string[] => Array.from({ length: count }, (_item, index) => `e${index}`)

const importText = (archive: string): Promise<ImportResult> =>
  importLines(store, readLines(Readable.from([Buffer.from(archive)])), { by: 'ops', signal })

const storedBodies = async (): Promise<string[]> =>
  (await readStream(connection, STREAMS.deadLetters)).map(({ body }) => Buffer.from(body).toString())

/** The routes, with bounds of milliseconds. */
async function serve({ requestMs, idleMs }: { requestMs: number; idleMs: number }): Promise<string> {
  const log = pino({ level: 'silent' })
  const http = openHttp({ host: '127.0.0.1', port: 0, log, requestMs })
  const parts = { store, signal } as unknown as ApiParts // what the import uses
  addDeadLetterRoutes(http.app, () => parts, { mostBytes: 1024 ** 2, idleMs })
  onTestFinished(() => http.close())
  return http.listen()
}

function post(address: string, type: string) {
  const asked = httpRequest(`${address}`, { method: 'POST', headers: { 'content-type': type } })
  const answered = once(asked, 'response').then(async ([response]: IncomingMessage[]) => {
    if (response === undefined) throw new Error('no answer')
    return { status: response.statusCode, headers: response.headers, json: JSON.parse(await text(response)) }
  })
  return { asked, answered }
}

describe('an import over HTTP', () => {
  test('takes longer than other requests may, as long as lines come', async () => {
    const address = await serve({ requestMs: 300, idleMs: NEVER_MS })
    const other = post(`${address}/v1/dead-letters/export`, 'application/json')
    other.asked.write('{"filter"')
    await expect(other.answered).rejects.toThrow('socket hang up')
    const { asked, answered } = post(`${address}/v1/dead-letters/import`, 'application/x-ndjson')
    for (const id of ids(10)) {
      asked.write(lineOf(id))
      await sleep(100)
    }
    asked.end()
    expect(await answered).toMatchObject({ status: 200, json: { stored: 10, isComplete: true } })
  })

  test('that stalls is ended, and both the answer and the record say how far it came', async () => {
    const address = await serve({ requestMs: NEVER_MS, idleMs: 300 })
    const { asked, answered } = post(`${address}/v1/dead-letters/import`, 'application/x-ndjson')
    asked.write(lineOf('a') + lineOf('b'))
    const { status, headers, json } = await answered
    expect([status, headers.connection]).toEqual([408, 'close'])
    expect(json.detail).toMatch(/brought nothing for 300 ms \(until then: stored 2, /)
    expect(await listActs(store.keyValue)).toMatchObject([
      { what: 'imported', counts: { stored: 2 }, isComplete: false },
    ])
  })

  test('that brings a line that is none hears so, however much comes behind it', async () => {
    const address = await serve({ requestMs: NEVER_MS, idleMs: NEVER_MS })
    const { asked, answered } = post(`${address}/v1/dead-letters/import`, 'application/x-ndjson')
    asked.end(`${lineOf('a')}{"no": "letter"}\n${' '.repeat(900_000)}\n`)
    const { status, json } = await answered
    expect([status, json.detail]).toEqual([400, expect.stringMatching(/line 2: .*stored 1/)])
  })
})

describe('an import', () => {
  test('keeps the order, and stores nothing behind a line that is none', async () => {
    const all = ids(300)
    expect((await importText(all.map((id) => lineOf(id)).join(''))).counts).toMatchObject({ stored: 300 })
    expect(await storedBodies()).toEqual(all)
    await requestApi(connection, `STREAM.PURGE.${STREAMS.deadLetters}`)
    const lines = all.map((id, index) => (index === 149 || index === 151 ? '{}\n' : lineOf(id)))
    const { counts, error } = await importText(lines.join(''))
    expect(counts.stored).toBe(149)
    expect(String(error)).toContain('line 150: ')
    expect(await storedBodies()).toEqual(all.slice(0, 149))
  })

  test('changes nothing of when its events failed: a search by time finds them as before', async () => {
    const hours = ['2026-01-01T01:00:00.000Z', '2026-01-01T02:00:00.000Z', '2026-01-01T03:00:00.000Z']
    await importText(hours.map((at, index) => lineOf(`e${index}`, at)).join(''))
    const found = async (filter: DeadLetterFilter): Promise<(string | undefined)[]> => {
      const { entries } = await pageDeadLetters(connection, { filter })
      return entries.map(({ headers }) => headers.get(HEADERS.failedAt))
    }
    const [first = '', second = '', third = ''] = hours
    expect(await found({ since: second })).toEqual([second, third])
    expect(await found({ until: second })).toEqual([first])
    expect(await found({ since: second, until: third })).toEqual([second])
    expect(await found({ since: new Date(Date.now() - NEVER_MS).toISOString() })).toEqual([])
  })

  test('stores one of several lines of the same event', async () => {
    const { counts } = await importText(lineOf('a').repeat(20))
    expect(counts).toMatchObject({ stored: 1, present: 19 })
  })

  test('does not bring back what was replayed or purged, also once RESULTS has let go of it', async () => {
    const archive = ['replayed', 'purged', 'discarded', 'plain'].map((id) => lineOf(id)).join('')
    expect((await importText(archive)).counts).toMatchObject({ stored: 4 })
    const lines: string[] = []
    for await (const line of exportLines(connection, {}, signal)) lines.push(line)
    await requestApi(connection, `STREAM.PURGE.${STREAMS.deadLetters}`)
    await requestApi(connection, `STREAM.PURGE.${STREAMS.results}`)
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    for (const [index, outcome] of (['replayed', 'purged', 'discarded'] as const).entries()) {
      const origin = { stream: STREAMS.features, epoch, sequence: index + 1 }
      await recordEnded(store.window, outcome, 'ops', [{ token: tokenOf(outcome), origin, pool: 'default' }])
    }
    const { counts, error } = await importText(lines.join(''))
    expect(error).toBeUndefined()
    expect(counts).toEqual({ stored: 2, present: 0, answered: 1, purged: 1 })
    expect(await storedBodies()).toEqual(['discarded', 'plain'])
    // The same id, published anew since, is another story.
    const later = new Date(Date.now() + NEVER_MS).toISOString()
    expect((await importText(lineOf('replayed', later))).counts).toMatchObject({ stored: 1 })
  })
})

test('an export to a file that takes no more fails, and says so', async () => {
  await importText(
    ids(200)
      .map((id) => lineOf(id))
      .join(''),
  )
  const folder = await mkdtemp(join(tmpdir(), 'pelton-export-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'letters.jsonl')
  // `ulimit -f` stands for a disk that is full: writes beyond it fail.
  const options = { env: { PELTON_NATS_URL: broker.url }, ulimit: '-f 8' }
  const { code, err } = await runCli(['dead-letters', 'export', file], options)
  expect([code, err]).toEqual([1, expect.stringContaining(`${file} cannot be written on (EFBIG)`)])
  expect(err).not.toMatch(/\bat \w+.*:\d+|dead letters written/)
  const open = await runCli(['dead-letters', 'export', join(folder, 'no', 'such')], options)
  expect([open.code, open.err]).toEqual([2, expect.stringContaining('the file cannot be written')])
})
