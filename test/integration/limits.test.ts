import { describe, expect, vi } from 'vitest'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { openControlStage } from './control-stage.ts'
import { GOOD } from './replay-stage.ts'

const test = staged(openStage)

async function openStage() {
  const stage = await openControlStage({ topology: { ackWaitMs: 1_000 } })
  const { broker, connection } = stage
  const env = { PELTON_NATS_URL: broker.url, PELTON_DATA: stage.dataDir, PELTON_ACK_WAIT_MS: '1000' }

  /** What doctor says about one thing. */
  async function doctor(check: string, options: readonly string[] = [], extra: NodeJS.ProcessEnv = {}) {
    const { json } = await runCli(['doctor', '--json', ...options], { env: { ...env, ...extra } })
    return json().filter((finding: { check: string }) => finding.check === check)
  }

  async function limit(stream: string, changes: object): Promise<void> {
    const config = { ...(await streamInfo(connection, stream))?.config, ...changes }
    await requestApi(connection, `STREAM.UPDATE.${stream}`, config)
  }

  const fill = async (subject: (index: number) => string, count: number, bytes = 10): Promise<void> => {
    for (let index = 0; index < count; index++)
      await connection.request(subject(index), 'x'.repeat(bytes), { timeout: 20_000 })
  }

  return { ...stage, env, doctor, limit, fill }
}

describe.concurrent('the bound of the ledger', () => {
  test('is told of before workers stop at 80 % and when they do, with the setting that helps', async ({
    stage,
  }) => {
    const { doctor, limit, fill, control } = stage
    expect(await doctor('stream LEDGER')).toEqual([])
    await limit(STREAMS.ledger, { max_bytes: 100_000 })
    const used = async (): Promise<object> =>
      (await doctor('stream LEDGER')).find(({ text }: { text: string }) => text.includes('of max_bytes'))
    await fill(() => 'ledger.default', 7, 9_500)
    expect(await used()).toMatchObject({ level: 'warn', text: expect.stringMatching(/^6\d % of max_bytes/) })
    await fill(() => 'ledger.default', 2, 9_500)
    expect(await used()).toMatchObject({
      level: 'fail',
      text: expect.stringMatching(/^8\d % of max_bytes is used: workers pull nothing more$/),
      remedy: expect.stringContaining('PELTON_LEDGER_MAX_BYTES'),
    })
    const process = await control()
    const scraped = (await process.call('GET', '/metrics')).text
    expect(scraped).toMatch(/^pelton_stream_limit_used_ratio\{[^}]*stream_name="LEDGER"[^}]*\} 0\.8\d+$/m)
  })

  test('is missing in one of an older version: said, with the way to it', async ({ stage }) => {
    const { doctor, limit } = stage
    await limit(STREAMS.ledger, { max_bytes: -1 })
    expect(await doctor('stream LEDGER')).toEqual([
      expect.objectContaining({ level: 'warn', remedy: expect.stringContaining('--max-bytes') }),
    ])
  })

  test('stops the workers when it is reached, and loses nothing: they go on once it is raised', async ({
    stage,
  }) => {
    const { broker, connection, limit, startWorker, publish, settled, countIn } = stage
    const worker = await startWorker()
    const answered = await publish('before', GOOD, [])
    await settled([answered])
    const { bytes = 0 } = (await streamInfo(connection, STREAMS.ledger))?.state ?? {}
    await limit(STREAMS.ledger, { max_bytes: bytes + 10 })
    const tokens: string[] = []
    for (let index = 0; index < 20; index++) tokens.push(await publish(`event-${index}`, GOOD, []))
    await vi.waitFor(
      () => expect(worker.log.some((entry) => JSON.stringify(entry).includes('LEDGER'))).toBe(true),
      PATIENT,
    )
    expect(await countIn(STREAMS.features)).toBeGreaterThan(0)
    const records = await countIn(STREAMS.ledger)
    await broker.provision({ topology: { ackWaitMs: 1_000, ledgerMaxBytes: 2 ** 20 } })
    await settled([answered, ...tokens])
    expect(await countIn(STREAMS.ledger)).toBeGreaterThan(records)
  })
})

describe.concurrent('the size of the register', () => {
  test('is held against the latest writer at a rate that is given, with the value that is needed', async ({
    stage,
  }) => {
    const { doctor } = stage
    const horizon = { PELTON_RESEND_HORIZON_MS: '600000' }
    const [short] = await doctor('register', ['--rate', '40000'], horizon)
    // (1 s + 30 s + 600 s) × 40,000
    expect(short).toMatchObject({
      level: 'warn',
      text: expect.stringMatching(
        /^at 40,000 results a second an outcome is remembered 2 min, .*may take 11 min/,
      ),
      remedy: expect.stringContaining('PELTON_RESULTS_MAX_MESSAGES to 25240000 (11 GiB of broker memory)'),
    })
    expect(await doctor('register', ['--rate', '7000'], horizon)).toEqual([
      expect.objectContaining({ level: 'ok' }),
    ])
    expect(await doctor('register')).toEqual([expect.objectContaining({ level: 'ok' })])
  })

  test('is an alert of the watch while the oldest result is younger than a late writer may be', async ({
    stage,
  }) => {
    const { broker, fill, limit, control, connection } = stage
    await limit(STREAMS.results, { max_msgs: 5 })
    await fill((index) => `results.m.token-${index}`, 8)
    const process = await control()
    const alerts = async () => (await process.call('GET', '/v1/watch')).json.alerts
    const found = expect.objectContaining({
      kind: 'register-too-short',
      about: STREAMS.results,
      remedy: expect.stringContaining('PELTON_RESULTS_MAX_MESSAGES'),
    })
    await vi.waitFor(async () => expect(await alerts()).toEqual([found]), PATIENT)
    await broker.provision({ topology: { ackWaitMs: 1_000 } })
    expect((await streamInfo(connection, STREAMS.results))?.config.max_msgs).toBe(5_000_000)
    await vi.waitFor(async () => expect(await alerts()).toEqual([]), PATIENT)
  })

  test('is an alert where the age limit of RESULTS ends before a late writer', async ({ stage }) => {
    const { limit, control } = stage
    await limit(STREAMS.results, { max_age: 600_000_000_000, duplicate_window: 1_000_000_000 })
    const process = await control()
    await vi.waitFor(async () => {
      const { alerts } = (await process.call('GET', '/v1/watch')).json
      expect(alerts).toEqual([expect.objectContaining({ kind: 'register-too-short' })])
    }, PATIENT)
  })
})
