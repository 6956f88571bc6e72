import { cp, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { NatsConnection } from '@nats-io/transport-node'
import { pino } from 'pino'
import { describe, expect, vi } from 'vitest'
import { Looks } from '../../services/control/watch/look.ts'
import { scanSuperseded } from '../../services/control/watch/superseded.ts'
import { DEMO_MODELS, EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { readValue } from '../../shared/operations/records/key-value.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { EMPTY_RECORD, WATCH_KEY, type WatchRecord } from '../../shared/operations/watch-record/record.ts'
import { HEADERS, type HeaderEntry, readHeader } from '../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord, encodeLedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { consumerInfo, requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import type { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { PullLane } from '../../shared/sdk/jetstream/pull-lane.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { readOutcomes, readStream } from '../kit/outcomes.ts'
import { publishEvent } from '../kit/pipeline.ts'
import { staged } from '../kit/staged.ts'
import { eventually, PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import type { ControlProcess } from './control-process.ts'
import { alertKinds, looksFor, openControlStage } from './control-stage.ts'
import { EXPIRED } from './replay-stage.ts'

const FEATURES = JSON.stringify({ features: EXAMPLE_FLIGHT })
const WITH_REPLAYS = { hasReplays: true }
const CONSUMER = 'worker-default-normal'

const test = staged(openStage)

async function openStage() {
  const stage = await openControlStage({ topology: { ackWaitMs: 1_000 } })
  const { connection } = stage

  const publish = (id: string, extra: readonly HeaderEntry[] = [], pool = 'default'): Promise<string> =>
    publishEvent(connection, { id, body: FEATURES, pool, headers: Object.fromEntries(extra) })

  /** Somebody else's change of a consumer. */
  async function editConsumer(change: Readonly<Record<string, unknown>>, name = CONSUMER): Promise<void> {
    const stream = name.startsWith('worker') ? STREAMS.features : STREAMS.retries
    const config = { ...(await consumerInfo(connection, stream, name))?.config, ...change }
    const subject = `CONSUMER.CREATE.${stream}.${name}.${(config as { filter_subject?: string }).filter_subject}`
    await requestApi(connection, subject, { stream_name: stream, config, action: 'update' })
  }

  /** Takes events and never settles them: with a `max_deliver` of 1 they become orphans once their time is over. */
  async function makeOrphans(count: number, name = CONSUMER): Promise<void> {
    const stream = name.startsWith('worker') ? STREAMS.features : STREAMS.retries
    await editConsumer({ max_deliver: 1 }, name)
    const lane = new PullLane(connection, { stream, consumer: name }, () => undefined)
    const pulled = await lane.pull({ batch: count, maxBytes: 16 * 1024 ** 2, idleMs: 1_000, lingerMs: 0 })
    expect(pulled.received).toBe(count)
    await lane.close()
    await vi.waitFor(
      async () => expect((await consumerInfo(connection, stream, name))?.num_ack_pending).toBe(0),
      PATIENT,
    )
  }

  return { ...stage, publish, editConsumer, makeOrphans, worker: () => stage.startWorker() }
}

interface Seen {
  readonly alerts: readonly { kind: string; about: string; text: string; remedy: string; count: number }[]
  readonly acts: readonly Record<string, unknown>[]
  readonly isThisOne: boolean
  readonly position: { readonly results: number }
}

const watched = async (process: ControlProcess): Promise<Seen> =>
  (await process.call('GET', '/v1/watch')).json as Seen

describe.concurrent('the watch', () => {
  test('finds events past max_deliver, waits until the consumer is mended, and then has workers decide', async ({
    stage,
  }) => {
    const { broker, connection, publish, makeOrphans, worker, control } = stage
    const tokens = await Promise.all(Array.from({ length: 6 }, (_item, index) => publish(`e${index}`)))
    await makeOrphans(4)
    const process = await control()
    await vi.waitFor(async () => {
      const { alerts } = await watched(process)
      expect(alerts).toEqual(
        expect.arrayContaining([
          expect.objectContaining({
            kind: 'changed-consumer',
            about: CONSUMER,
            text: expect.stringContaining('max_deliver is 1'),
          }),
          expect.objectContaining({
            kind: 'orphans',
            about: CONSUMER,
            count: 4,
            remedy: expect.stringContaining('Mend'),
          }),
        ]),
      )
    }, PATIENT)
    expect((await watched(process)).acts).toEqual([])
    const scraped = (await process.call('GET', '/metrics')).text
    expect(scraped).toMatch(/^pelton_orphans\{[^}]*stream_name="FEATURES"[^}]*\} 4$/m)

    expect(await broker.provision({ topology: { ackWaitMs: 1_000 } })).toEqual([
      `changed consumer ${CONSUMER}: max_deliver 1 → -1`,
    ])
    await vi.waitFor(async () => {
      const { acts, alerts } = await watched(process)
      expect(acts).toEqual([
        expect.objectContaining({ what: 'consumer-reset', consumer: CONSUMER, orphans: 4, inFlight: 0 }),
      ])
      expect(alerts).toEqual([])
    }, PATIENT)
    await worker()
    await vi.waitFor(async () => {
      const { predictions, waiting } = await readOutcomes(connection)
      expect([...predictions.keys()].sort()).toEqual([...tokens].sort())
      expect(waiting).toBe(0)
    }, PATIENT)
    await eventually('the reset to be told', () =>
      process.log.some(({ msg }) => String(msg).startsWith('reset a consumer')),
    )
  })

  test('hands out once more what was in flight, says so, and each event still has one outcome', async ({
    stage,
  }) => {
    const { broker, connection, publish, makeOrphans, worker, control } = stage
    await Promise.all(Array.from({ length: 5 }, (_item, index) => publish(`e${index}`)))
    await makeOrphans(2)
    await broker.provision({ topology: { ackWaitMs: 60_000 } })
    const lane = new PullLane(connection, { stream: STREAMS.features, consumer: CONSUMER }, () => undefined)
    await lane.pull({ batch: 2, maxBytes: 16 * 1024 ** 2, idleMs: 1_000, lingerMs: 0 })
    await lane.close()
    const process = await control()
    await vi.waitFor(async () => {
      expect((await watched(process)).acts).toEqual([
        expect.objectContaining({ what: 'consumer-reset', orphans: 2, inFlight: 2 }),
      ])
    }, PATIENT)
    await worker()
    await vi.waitFor(async () => {
      const { predictions, waiting } = await readOutcomes(connection)
      expect([predictions.size, waiting]).toEqual([5, 0])
    }, PATIENT)
  })

  test('does not reset the same consumer again and again', async ({ stage }) => {
    const { publish, editConsumer, makeOrphans, control } = stage
    await publish('stubborn')
    await makeOrphans(1)
    await editConsumer({ max_deliver: -1 })
    const process = await control()
    await vi.waitFor(async () => expect((await watched(process)).acts).toHaveLength(1), PATIENT)
    await makeOrphans(1)
    await editConsumer({ max_deliver: -1 })
    await vi.waitFor(async () => {
      const { alerts } = await watched(process)
      expect(alerts).toEqual([
        expect.objectContaining({ kind: 'orphans', remedy: expect.stringMatching(/not before \d+ s/) }),
      ])
    }, PATIENT)
    expect((await watched(process)).acts).toHaveLength(1)
  })

  test('finds orphans among due retries, and takes no schedule for one', async ({ stage }) => {
    const { connection, window, editConsumer, makeOrphans, control } = stage
    const route = { pool: 'default', model: 'flight-delay', lane: 'normal' } as const
    const dueToken = eventToken('flight-delay', 'test', 'due')
    const laterToken = eventToken('flight-delay', 'test', 'later')
    const copy = (token: string, at: number): Parameters<PublishWindow['publish']>[0] => ({
      subject: subjects.retry(route, token),
      headers: [
        [HEADERS.schedule, `@at ${new Date(at).toISOString()}`],
        [HEADERS.scheduleTarget, subjects.due(route, token)],
        [HEADERS.token, token],
        [HEADERS.origin, 'FEATURES 2026-01-01T00:00:00Z 1'],
        [HEADERS.attempt, '2'],
        [HEADERS.id, token],
      ],
      body: Buffer.from(FEATURES),
    })
    for (const message of [copy(dueToken, Date.now() + 100), copy(laterToken, Date.now() + 3_600_000)])
      expect((await window.publish(message)).kind).toBe('stored')
    const name = 'retry-default-normal'
    await vi.waitFor(
      async () => expect((await consumerInfo(connection, STREAMS.retries, name))?.num_pending).toBe(1),
      PATIENT,
    )
    await makeOrphans(1, name)
    await editConsumer({ max_deliver: -1 }, name)
    const process = await control()
    await vi.waitFor(async () => {
      expect((await watched(process)).acts).toEqual([
        expect.objectContaining({
          what: 'consumer-reset',
          stream: STREAMS.retries,
          consumer: name,
          orphans: 1,
        }),
      ])
    }, PATIENT)
    expect((await consumerInfo(connection, STREAMS.retries, name))?.num_pending).toBe(1)
  })

  test('finds events left outside an edited filter', async ({ stage }) => {
    const { connection, publish, editConsumer, worker, control } = stage
    await publish('left')
    const filter = (await consumerInfo(connection, STREAMS.features, CONSUMER))?.config.filter_subject
    await editConsumer({ filter_subject: 'features.default.other.normal' })
    const process = await control({ PELTON_UNSERVED_MS: '300' })
    await vi.waitFor(async () => {
      expect(await alertKinds(process)).toEqual(expect.arrayContaining(['changed-consumer', 'unserved-pool']))
    }, PATIENT)
    await editConsumer({ filter_subject: filter })
    await worker()
    await vi.waitFor(async () => {
      const { predictions, waiting } = await readOutcomes(connection)
      expect([predictions.size, waiting]).toEqual([1, 0])
      expect(await alertKinds(process)).toEqual([])
    }, PATIENT)
  })

  test('names pools without consumers and pools whose workers are gone, and sees when they are served', async ({
    stage,
  }) => {
    const { publish, worker, control } = stage
    await publish('nobody', [], 'gpu')
    await publish('idle')
    const process = await control({ PELTON_UNSERVED_MS: '500' })
    await vi.waitFor(async () => {
      const { alerts } = await watched(process)
      expect(alerts).toEqual(
        expect.arrayContaining([
          expect.objectContaining({
            kind: 'unserved-pool',
            about: 'gpu',
            count: 1,
            remedy: expect.stringContaining('pelton provision --pool gpu'),
          }),
          expect.objectContaining({
            kind: 'idle-pool',
            about: 'default',
            count: 1,
            text: expect.stringMatching(/the oldest for/),
          }),
        ]),
      )
    }, PATIENT)
    await worker()
    await vi.waitFor(async () => expect(await alertKinds(process)).toEqual(['unserved-pool']), PATIENT)
  })

  test('names a model that a worker cannot serve, what waits for it, and sees when it is served again', async ({
    stage,
    onTestFinished,
  }) => {
    const { startWorker, publish, countIn, control } = stage
    const folder = await modelsFolder(['linear'])
    onTestFinished(() => folder.remove())
    await cp(join(DEMO_MODELS, 'flight-delay'), join(folder.path, 'flight-delay'), { recursive: true })
    const env = { PELTON_MODELS: folder.path, PELTON_COPIES: join(folder.path, '.copies') }
    const first = await startWorker(env)
    await publish('served')
    await vi.waitFor(async () => expect(await countIn(STREAMS.results)).toBe(1), PATIENT)
    first.kill()
    expect(await first.ended).toBe(0)
    const process = await control()
    await rename(join(folder.path, 'flight-delay'), join(folder.path, '.flight-delay'))
    await startWorker(env)
    for (const id of ['waits', 'waits too']) await publish(id)
    await vi.waitFor(async () => {
      expect((await watched(process)).alerts).toEqual([
        {
          kind: 'model-not-servable',
          about: 'default/flight-delay',
          count: 2,
          since: expect.any(String),
          text: expect.stringMatching(
            /^model "flight-delay" of pool "default": no worker serves it, 2 of its events wait in RETRIES; there is no such file/,
          ),
          remedy: expect.stringContaining('docs/runbooks/model-not-servable.md'),
        },
      ])
    }, PATIENT)
    await rename(join(folder.path, '.flight-delay'), join(folder.path, 'flight-delay'))
    await vi.waitFor(async () => {
      expect(await alertKinds(process)).toEqual([])
      expect(await countIn(STREAMS.results)).toBe(3)
    }, PATIENT)
    const told = () =>
      process.log.filter(({ about }) => about === 'default/flight-delay').map(({ msg }) => msg)
    const both = [expect.stringMatching(/^model "flight-delay" .+ no worker serves it/), 'is over']
    await vi.waitFor(() => expect(told()).toEqual(both), PATIENT)
  })

  test('names 50 of 3,000 pools nobody serves, and how many more there are', async ({ stage }) => {
    const { publish, control } = stage
    const published = Array.from({ length: 3_000 }, (_event, index) => {
      const pool = `pool-${String(index).padStart(4, '0')}-${'x'.repeat(200)}`
      return publish(`e${index}`, [], pool)
    })
    await Promise.all(published)
    const process = await control({ PELTON_UNSERVED_MS: '100' })
    await vi.waitFor(async () => {
      const { alerts } = await watched(process)
      expect(alerts.map(({ kind }) => kind)).toEqual(Array.from({ length: 51 }, () => 'unserved-pool'))
      expect(alerts[0]).toMatchObject({
        about: expect.stringMatching(/^pool-0000/),
        text: expect.stringContaining('oldest for'),
      })
      expect(alerts.at(-1)).toMatchObject({ about: '(more)', count: 2_950 })
    }, PATIENT)
    expect(process.log.filter(({ msg }) => String(msg).includes('could not look'))).toEqual([])
  })

  test('finds a failure notice whose dead letter is gone, but not one that was discarded', async ({
    stage,
  }) => {
    const { broker, connection, window, publish, worker, control } = stage
    await worker()
    const tokens: string[] = []
    for (const id of ['lost', 'discarded', 'kept']) tokens.push(await publish(id, [EXPIRED]))
    const [lost = '', discarded = ''] = tokens
    await vi.waitFor(async () => {
      expect((await readOutcomes(connection)).deadLetters.size).toBe(3)
      expect((await streamInfo(connection, STREAMS.features))?.state.messages).toBe(0)
    }, PATIENT)
    const letters = (await readOutcomes(connection)).deadLetters
    for (const token of [lost, discarded])
      await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.deadLetters}`, {
        seq: letters.get(token)?.sequence,
      })
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    const entries = [{ sequence: 2, outcome: 'discarded', token: discarded } as const]
    const body = encodeLedgerRecord({ stream: STREAMS.features, epoch, by: 'ops', entries })
    await window.publish({ subject: subjects.ledger('default'), headers: [], body })
    const process = await control({ PELTON_NOTICE_GRACE_MS: '0' })
    await vi.waitFor(async () => {
      const { alerts } = await watched(process)
      expect(alerts).toEqual([
        expect.objectContaining({
          kind: 'notice-without-dead-letter',
          count: 1,
          text: expect.stringContaining(lost),
        }),
      ])
    }, PATIENT)
    expect((await watched(process)).position.results).toBe(4)

    // The notice expires: its event is without its dead letter as before, until somebody signs for it.
    const notice = (await readOutcomes(connection)).failures.get(lost)
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.results}`, { seq: notice?.sequence })
    await looksFor(process, 1_000)
    expect(await alertKinds(process)).toEqual(['notice-without-dead-letter'])
    const signed = await runCli(['audit', '--deep', '--purged', '1', '--reason', 'a trial'], {
      env: { PELTON_NATS_URL: broker.url },
    })
    expect(signed.err).toContain('entered 1 events as purged')
    await vi.waitFor(async () => expect(await alertKinds(process)).toEqual([]), PATIENT)
  })

  test('removes a dead letter whose event was predicted after all, and the ledger says so', async ({
    stage,
  }) => {
    const { connection, window, publish, worker, control } = stage
    await worker()
    const token = await publish('late', [EXPIRED])
    await vi.waitFor(
      async () => expect((await readOutcomes(connection, WITH_REPLAYS)).deadLetters.size).toBe(1),
      PATIENT,
    )
    const { failures, deadLetters } = await readOutcomes(connection, WITH_REPLAYS)
    const sent = await window.publish({
      subject: subjects.feature({ pool: 'default', model: 'flight-delay', lane: 'normal' }),
      headers: [
        [HEADERS.id, 'late'],
        [HEADERS.source, 'test'],
        [HEADERS.token, token],
        [HEADERS.supersedes, String(failures.get(token)?.sequence)],
      ],
      body: Buffer.from(FEATURES),
    })
    expect(sent.kind).toBe('stored')
    await vi.waitFor(
      async () => expect((await readOutcomes(connection, WITH_REPLAYS)).predictions.size).toBe(1),
      PATIENT,
    )
    expect(deadLetters.size).toBe(1)
    // Another payload of the same id, predicted once the notice of the first had expired, is no answer to the first.
    const other = await publish('other', [EXPIRED])
    await vi.waitFor(
      async () => expect((await readOutcomes(connection, WITH_REPLAYS)).deadLetters.size).toBe(2),
      PATIENT,
    )
    const notice = (await readOutcomes(connection, WITH_REPLAYS)).failures.get(other)
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.results}`, { seq: notice?.sequence })
    await window.publish({
      subject: subjects.feature({ pool: 'default', model: 'flight-delay', lane: 'normal' }),
      headers: [
        [HEADERS.id, 'other'],
        [HEADERS.source, 'test'],
      ],
      body: Buffer.from(FEATURES.replace(/}$/, ' }')),
    })
    await vi.waitFor(
      async () => expect((await readOutcomes(connection, WITH_REPLAYS)).predictions.size).toBe(2),
      PATIENT,
    )
    const process = await control({ PELTON_CONTROL_NAME: 'the-watch' })
    await vi.waitFor(async () => {
      expect((await watched(process)).acts).toEqual([
        expect.objectContaining({ what: 'superseded-removed', by: 'the-watch', count: 1 }),
      ])
    }, PATIENT)
    expect([...(await readOutcomes(connection, WITH_REPLAYS)).deadLetters.keys()]).toEqual([other])
    const records = (await readStream(connection, STREAMS.ledger)).map((one) => decodeLedgerRecord(one.body))
    const replayed = records.filter(({ by }) => by === 'the-watch').flatMap(({ entries }) => entries)
    expect(replayed).toEqual([expect.objectContaining({ outcome: 'replayed', token })])
  })
})

describe.concurrent('a look at dead letters whose events were predicted', () => {
  const MODEL = 'flight-delay'

  /** A dead letter of an event, and a prediction that a replay stored on the notice of that failure. */
  async function predictedAfterAll(
    connection: NatsConnection,
    window: PublishWindow,
    id: string,
    isForged = false,
  ): Promise<void> {
    const token = eventToken(MODEL, 'test', id)
    const epoch = (await streamInfo(connection, STREAMS.features))?.created ?? ''
    const failedAt = '2026-01-31T12:00:00.000Z'
    const own: HeaderEntry[] = [
      [HEADERS.token, token],
      [HEADERS.origin, `${STREAMS.features} ${epoch} 1`],
      [HEADERS.inputDigest, 'd'.repeat(22)],
    ]
    const notice: HeaderEntry[] = [...own, [HEADERS.outcome, 'dead-letter'], [HEADERS.time, failedAt]]
    const from = subjects.feature({ pool: 'default', model: MODEL, lane: 'normal' })
    const letter: HeaderEntry[] = [
      ...own,
      [HEADERS.deadLetterReason, 'shed'],
      [HEADERS.failedAt, failedAt],
      [HEADERS.originalSubject, from],
    ]
    const prediction: HeaderEntry[] = [
      ...own,
      [HEADERS.outcome, 'prediction'],
      [HEADERS.inputDigest, 'a'.repeat(22)],
    ]
    const put = async (subject: string, headers: readonly HeaderEntry[]): Promise<number> => {
      const reply = await window.publish({ subject, headers, body: Buffer.from('{}') })
      if (reply.kind !== 'stored') throw new Error(reply.description)
      return reply.sequence
    }
    const follows = await put(subjects.result(MODEL, token), notice)
    // A worker names what its outcome shall follow.
    const named: HeaderEntry[] = isForged ? [] : [[HEADERS.expectedSubjectSequence, String(follows)]]
    await put(subjects.result(MODEL, token), [...prediction, ...named])
    await put(subjects.deadLetter(MODEL, token), letter)
  }

  test('leaves it where no worker put the prediction behind its notice', async ({ stage }) => {
    const { connection, window } = stage
    await predictedAfterAll(connection, window, 'forged', true)
    await predictedAfterAll(connection, window, 'replayed')
    const store = openStore(connection)
    const found = await scanSuperseded(store, 1, 10)
    expect(found.found.map(({ token }) => token)).toEqual([eventToken(MODEL, 'test', 'replayed')])
    expect(found.unexplained.map(({ token }) => token)).toEqual([eventToken(MODEL, 'test', 'forged')])
    store.close()
  })

  test('leaves a dead letter that no replay explains, as evidence, and says so until somebody ends it', async ({
    stage,
  }) => {
    const { broker, connection, window, publish, worker, control } = stage
    await worker()
    const letters = () => readStream(connection, STREAMS.deadLetters)
    const token = await publish('answered')
    await publish('late', [EXPIRED])
    await vi.waitFor(async () => {
      expect((await readOutcomes(connection)).predictions.size).toBe(1)
      expect(await letters()).toHaveLength(1)
    }, PATIENT)
    // A dead letter as a worker writes it, of an event that has its prediction and never had a notice.
    const [prediction] = (await readStream(connection, STREAMS.results)).filter(({ subject }) =>
      subject.endsWith(token),
    )
    const [real] = await letters()
    const taken = [HEADERS.token, HEADERS.origin, HEADERS.inputDigest, HEADERS.correlationId]
    const ofReal = [...(real?.headers ?? [])].filter(([name]) => !name.startsWith('nats-'))
    const headers = ofReal.map(([name, value]): HeaderEntry => {
      const own = taken.find((each) => each.toLowerCase() === name)
      return [name, (own && readHeader(prediction?.headers ?? new Map(), own)) ?? value]
    })
    const subject = subjects.deadLetter(MODEL, token)
    expect((await window.publish({ subject, headers, body: Buffer.from(FEATURES) })).kind).toBe('stored')
    const process = await control()
    await vi.waitFor(async () => {
      expect((await watched(process)).alerts).toEqual([
        expect.objectContaining({
          kind: 'dead-letter-beside-prediction',
          count: 1,
          text: expect.stringContaining(token),
        }),
      ])
    }, PATIENT)
    await looksFor(process, 1_000)
    expect((await watched(process)).acts).toEqual([])
    expect(await letters()).toHaveLength(2)
    const scraped = (await process.call('GET', '/metrics')).text
    expect(scraped).toMatch(/^pelton_watch_alerts\{[^}]*kind="dead-letter-beside-prediction"[^}]*\} 1$/m)
    const discard = ['dead-letters', 'discard', token, '--because', 'forged', '--yes']
    expect((await runCli(discard, { env: { PELTON_NATS_URL: broker.url } })).code).toBe(0)
    await vi.waitFor(async () => expect(await alertKinds(process)).toEqual([]), PATIENT)
    expect(await letters()).toHaveLength(1)
  })

  test('ends by the next look what a request that failed left taken', async ({ stage }) => {
    const { connection, window } = stage
    for (const id of ['a', 'b', 'c']) await predictedAfterAll(connection, window, id)
    const store = openStore(connection)
    const pools = { read: () => [] }
    const deps = { store, pools, log: pino({ level: 'silent' }), keep: async () => true }
    const looks = new Looks(deps, {
      name: 'the-watch',
      unservedMs: 60_000,
      noticeGraceMs: 60_000,
      resendMs: 0,
    })
    const request = connection.request.bind(connection)
    let failures = 1
    connection.request = (subject, ...rest) => {
      const isHit = subject.endsWith(`STREAM.MSG.GET.${STREAMS.deadLetters}`) && failures-- > 0
      return isHit ? Promise.reject(new Error('no answer')) : request(subject, ...rest)
    }
    const count = async (stream: string): Promise<number | undefined> =>
      (await streamInfo(connection, stream))?.state.messages
    const { record } = await looks.look(EMPTY_RECORD)
    expect(failures).toBeLessThan(1)
    expect([await count(STREAMS.deadLetters), await count(STORES.replays)]).toEqual([1, 1])
    expect((await looks.look(record)).record.acts).toEqual([
      expect.objectContaining({ what: 'superseded-removed', count: 1 }),
    ])
    expect([await count(STREAMS.deadLetters), await count(STORES.replays)]).toEqual([0, 0])
    store.close()
  })
})

describe.concurrent('the watch under load', () => {
  test('takes nothing for an orphan while events are stored, handed out and settled', async ({ stage }) => {
    const { connection, publish, worker, control } = stage
    const process = await control({ PELTON_WATCH_MS: '100' })
    await worker()
    for (let round = 0; round < 40; round++)
      await Promise.all(Array.from({ length: 250 }, (_item, index) => publish(`load-${round}-${index}`)))
    await vi.waitFor(
      async () => expect((await streamInfo(connection, STREAMS.features))?.state.messages).toBe(0),
      PATIENT,
    )
    expect(process.log.filter(({ alert }) => alert === 'orphans')).toEqual([])
    expect((await watched(process)).acts).toEqual([])
    expect((await readOutcomes(connection)).predictions.size).toBe(10_000)
  })
})

describe.concurrent('streams that were made anew', () => {
  test('the watch goes on under its own name, and status says so', async ({ stage }) => {
    const { broker, connection, control, env } = stage
    const process = await control({ PELTON_CONTROL_NAME: 'steady' })
    await vi.waitFor(async () => expect((await watched(process)).isThisOne).toBe(true), PATIENT)
    const { streams } = await requestApi<{ readonly streams: readonly string[] }>(connection, 'STREAM.NAMES')
    expect(streams.length).toBeGreaterThan(8)
    for (const name of streams) await requestApi(connection, `STREAM.DELETE.${name}`)
    await broker.provision()
    const kept = async () => (await readValue<WatchRecord>(connection, WATCH_KEY))?.value
    await vi.waitFor(
      async () => expect(await kept()).toMatchObject({ holder: 'steady', at: expect.stringMatching(/Z$/) }),
      PATIENT,
    )
    const status = await runCli(['status'], { env })
    expect(status.out).toContain('the watch finds nothing wrong')
    expect(status.out).not.toContain('no control service watches')
  })
})

describe.concurrent('several control services', () => {
  test('one of them watches, and another takes over when it is killed or stops', async ({ stage }) => {
    const { publish, control } = stage
    const first = await control({ PELTON_CONTROL_NAME: 'first' })
    await vi.waitFor(async () => expect((await watched(first)).isThisOne).toBe(true), PATIENT)
    const second = await control({ PELTON_CONTROL_NAME: 'second' })
    await publish('waits', [], 'gpu')
    await vi.waitFor(async () => expect((await watched(second)).position).toBeDefined(), PATIENT)
    expect((await watched(second)).isThisOne).toBe(false)
    first.kill('SIGKILL')
    await vi.waitFor(async () => expect((await watched(second)).isThisOne).toBe(true), PATIENT)
    const third = await control({ PELTON_CONTROL_NAME: 'third' })
    second.kill()
    expect(await second.ended).toBe(0)
    await vi.waitFor(async () => expect((await watched(third)).isThisOne).toBe(true), PATIENT)
  })
})
