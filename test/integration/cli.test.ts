import { copyFile, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { DEMO_MODELS, EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { growRepository } from '../../shared/models/growing-repository.ts'
import { readRunningServer } from '../../shared/sdk/broker/readiness.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { startTestBroker, type TestBroker } from '../kit/broker.ts'
import { latestModels, modelsFolder } from '../kit/models-folder.ts'
import { freePorts } from '../kit/ports.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'
import { runCli, startCli } from './cli-process.ts'

const flight = (id: string, features: object = EXAMPLE_FLIGHT) => `${JSON.stringify({ id, features })}\n`

let broker: TestBroker
let worker: WorkerProcess
let folder: string
let env: NodeJS.ProcessEnv

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-cli-'))
  broker = await startTestBroker()
  env = { PELTON_NATS_URL: broker.url, PELTON_DATA: folder }
  const provisioned = await runCli(['provision'], { env })
  expect(provisioned.code, provisioned.err).toBe(0)
  worker = await startWorkerProcess({ url: broker.url, models: latestModels() })
})

afterAll(async () => {
  worker?.kill()
  await worker?.ended
  await broker?.stop()
  await rm(folder, { recursive: true, force: true })
})

describe('pelton provision', () => {
  it('says when there is nothing to change, lets a limit grow, and says so', async () => {
    expect((await runCli(['provision'], { env })).out).toBe('nothing to change\n')
    const grown = await runCli(['provision', '--dead-letters-max-messages', '20000000'], { env })
    expect(grown.out).toBe('changed stream DEADLETTERS: max_msgs 10000000 → 20000000\n')
  })

  it('names every setting that cannot be used, and exits 2', async () => {
    const { code, err, out } = await runCli(['provision', '--replicas', 'x'], {
      env: { ...env, PELTON_ACK_WAIT_MS: '3' },
    })
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(/PELTON_REPLICAS = "x".*PELTON_ACK_WAIT_MS = "3".*docs\/configuration\.md/s)
  })
})

describe('pelton publish, watch and dead-letters', () => {
  it('brings events from a file to their outcomes', async () => {
    const file = join(folder, 'flights.jsonl')
    await writeFile(file, flight('good') + flight('bad', { origin: 'DTW' }))
    const published = await runCli(['publish', 'flight-delay', file, '--source', 'file'], { env })
    expect(published.out, published.err).toMatch(/^2 published, 0 duplicates, 0 failed/)
    expect(published.code).toBe(0)

    const watched = await runCli(['watch', '--all', '--from', 'all', '--json', '--count', '2'], { env })
    expect(watched.code).toBe(0)
    const [prediction] = watched.json().filter(({ id }) => id === 'good')
    expect(prediction).toMatchObject({ kind: 'prediction', model: 'flight-delay', modelVersion: '2' })
    expect(prediction.outputs.map(({ name }: { name: string }) => name)).toEqual(['label', 'probability'])
    const [failure] = watched.json().filter(({ id }) => id === 'bad')
    expect(failure).toMatchObject({ kind: 'failure', reason: 'schema-mismatch', stage: 'validate' })

    const listed = await runCli(['dead-letters', 'list', '--json', '--reason', 'schema-mismatch'], { env })
    const [entry] = listed.json()
    expect(entry).toMatchObject({ id: 'bad', source: 'file', token: failure.token, model: 'flight-delay' })
    expect((await runCli(['dead-letters', 'list', '--reason', 'shed'], { env })).out).toBe('')
    for (const which of [String(entry.sequence), entry.token]) {
      const shown = await runCli(['dead-letters', 'show', which, '--json'], { env })
      expect(shown.json()[0]).toMatchObject({
        token: entry.token,
        history: [{ reason: 'schema-mismatch', attempt: 1 }],
        payload: { kind: 'json', value: { id: 'bad', features: { origin: 'DTW' } } },
      })
    }
    const payload = await runCli(['dead-letters', 'show', entry.token, '--payload'], { env })
    expect(payload.out).toBe(flight('bad', { origin: 'DTW' }).trim())
    expect((await runCli(['dead-letters', 'show', entry.token], { env })).out).toContain('"origin": "DTW"')
  })

  it('counts what was published before, from standard input', async () => {
    const input = flight('twice') + flight('twice')
    const { out, code } = await runCli(['publish', 'flight-delay'], { env, input })
    expect(out).toMatch(/^1 published, 1 duplicates, 0 failed/)
    expect(code).toBe(0)
  })

  it('stops at a bad line, names it, and exits 1', async () => {
    const input = `${flight('before')}{"nothing": 1}\n${flight('after')}`
    const { err, out, code } = await runCli(['publish', 'flight-delay', '-'], { env, input })
    expect(code).toBe(1)
    expect(err).toMatch(/malformed: standard input:2: .*nothing/)
    expect(out).toMatch(/^1 published, 0 duplicates, 1 failed/)
    const kept = await runCli(['publish', 'flight-delay', '-', '--keep-going'], { env, input })
    expect([kept.code, kept.out]).toEqual([1, expect.stringMatching(/^1 published, 1 duplicates, 1 failed/)])
  })

  it('keeps what was sent when Ctrl-C comes before the end of the input', async () => {
    const connection = await broker.connect()
    const lastSequence = async () => (await streamInfo(connection, STREAMS.features))?.state.last_seq ?? 0
    const before = await lastSequence()
    const cli = startCli(['publish', 'flight-delay'], { env })
    cli.child.stdin?.write(flight('interrupted-1') + flight('interrupted-2'))
    await vi.waitFor(async () => expect(await lastSequence()).toBe(before + 2), { timeout: 60_000 })
    cli.child.kill('SIGINT')
    expect(await cli.ended).toBe(1)
    expect(cli.out()).toMatch(/^2 published, 0 duplicates, 0 failed/)
    expect(cli.err()).toContain('the rest was not read')
  })

  it('watches until Ctrl-C, and ends quietly when nobody reads on', async () => {
    const watching = startCli(['watch'], { env, input: '' })
    await watching.until('watching predictions')
    watching.child.kill('SIGINT')
    expect(await watching.ended).toBe(0)

    const unread = startCli(['watch', '--all', '--from', 'all'], { env, input: '' })
    unread.child.stdout?.destroy()
    expect(await unread.ended).toBe(0)
    expect(unread.err()).not.toMatch(/EPIPE|Error/)
  })
})

describe('pelton status and doctor', () => {
  it('tells streams, consumers and dead letters', async () => {
    const { json, code, err } = await runCli(['status', '--json'], { env })
    expect(code, err).toBe(0)
    const [status] = json()
    expect(status.consumers.map(({ name }: { name: string }) => name)).toContain('worker-default-high')
    expect(status.deadLetters.byModel['flight-delay']).toBeGreaterThan(0)
    expect(status.streams.every(({ isMissing }: { isMissing: boolean }) => !isMissing)).toBe(true)
    expect((await runCli(['status'], { env })).out).toMatch(/dead letters\n\nSTREAM +MESSAGES/)
  })

  it('finds nothing to mend in a provisioned broker, and says what it cannot know', async () => {
    const { json, code, out } = await runCli(['doctor', '--json', '--models', DEMO_MODELS], { env })
    expect(code, out).toBe(0)
    const levels = new Map(json().map(({ check, level }) => [check, level]))
    expect(levels.get('durability')).toBe('unknown')
    expect([...levels.values()]).not.toContain('fail')
  })

  it('finds a consumer that counts attempts, a missing one and events nobody serves, with remedies', async () => {
    const spoiled = await startTestBroker()
    try {
      await spoiled.provision()
      const connection = await spoiled.connect()
      await requestApi(connection, 'CONSUMER.DELETE.FEATURES.worker-default-low')
      const config = {
        durable_name: 'worker-default-low',
        name: 'worker-default-low',
        filter_subject: 'features.default.*.low',
        ack_policy: 'explicit',
        max_deliver: 3,
      }
      const create = 'CONSUMER.CREATE.FEATURES.worker-default-low.features.default.*.low'
      await requestApi(connection, create, { stream_name: 'FEATURES', config })
      await requestApi(connection, 'CONSUMER.DELETE.RETRIES.retry-default-high')
      await connection.request('features.gpu.m.high', 'x')
      const own = { PELTON_NATS_URL: spoiled.url, PELTON_DATA: folder }
      const { code, json } = await runCli(['doctor', '--json'], { env: own })
      expect(code).toBe(1)
      const failed = json().filter(({ level }) => level === 'fail')
      const texts = failed.map(({ check, text }) => `${check}: ${text}`)
      expect(texts).toContainEqual(
        'consumer worker-default-low: max_deliver is 3: events past it are never answered',
      )
      expect(texts).toContainEqual('consumer retry-default-high: it does not exist')
      expect(texts).toContainEqual('pool gpu: 1 events wait for a pool that has no consumers')
      for (const { remedy } of failed) expect(remedy).toMatch(/\w/)
    } finally {
      await spoiled.stop()
    }
  })

  it('says that a consumer is paused, until when, and how it goes on; status too', async () => {
    const spoiled = await startTestBroker()
    try {
      await spoiled.provision()
      const connection = await spoiled.connect()
      const until = new Date(Date.now() + 3_600_000).toISOString()
      await requestApi(connection, 'CONSUMER.PAUSE.FEATURES.worker-default-normal', { pause_until: until })
      const own = { PELTON_NATS_URL: spoiled.url, PELTON_DATA: folder }
      const doctor = await runCli(['doctor', '--json'], { env: own })
      expect(doctor.code).toBe(1)
      const [paused] = doctor.json().filter(({ level }) => level === 'fail')
      expect(paused).toMatchObject({
        check: 'consumer worker-default-normal',
        text: expect.stringMatching(/^it is paused until 20.*Z: 0 events wait for it$/),
        remedy: 'Resume it: `nats consumer resume FEATURES worker-default-normal`.',
      })
      const status = await runCli(['status'], { env: own })
      expect(status.out).toMatch(/^worker-default-normal is paused until 20.*Z: its events wait$/m)
      await requestApi(connection, 'CONSUMER.PAUSE.FEATURES.worker-default-normal', {})
      expect((await runCli(['status'], { env: own })).out).not.toContain('paused')
    } finally {
      await spoiled.stop()
    }
  })

  it('says what to do when no broker answers, without credentials', async () => {
    const own = { PELTON_NATS_URL: 'nats://user:secret@127.0.0.1:1', PELTON_DATA: folder }
    for (const command of ['status', 'doctor', 'watch']) {
      const { code, out, err } = await runCli([command], { env: own })
      expect(code).toBe(1)
      expect(out + err).toContain('no connection to the broker')
      expect(out + err).not.toMatch(/secret|at .*\.ts:\d/)
    }
  })
})

describe.concurrent('pelton models', () => {
  it('tries and measures each model, and exits 1 for one that would be refused', async () => {
    const models = join(folder, 'models')
    await cp(DEMO_MODELS, models, { recursive: true })
    await rm(join(models, 'flight-delay', '1', 'manifest.yaml'))
    const good = await runCli(['models', 'check', models, '--json'])
    expect(good.code, good.err).toBe(0)
    for (const model of good.json()) {
      const sampleFrom = model.version === '1' ? 'generated' : 'golden sample'
      expect(model).toMatchObject({ model: 'flight-delay', batchable: true, sampleFrom })
      expect(model.timings.map(({ rows }: { rows: number }) => rows).slice(0, 4)).toEqual([1, 2, 4, 8])
      expect(model.kneeRows).toBeGreaterThan(1)
      expect(model.prediction.outputs[1].name).toBe('probability')
    }
    await mkdir(join(models, 'broken', '1'), { recursive: true })
    await writeFile(join(models, 'broken', '1', 'model.onnx'), 'no model')
    const listed = await runCli(['models', 'list', models])
    expect(listed.code).toBe(1)
    expect(listed.out).toMatch(/flight-delay +2 .*\n(.*\n)*refused {2}broken version 1: model-refused/)
  })
})

describe.concurrent('pelton models, of a folder as it is found', () => {
  const found = [
    'columns-hidden',
    'columns-matmul',
    'free-columns',
    'identity-fp16',
    'large-output',
    'linear',
  ]
  /** However long a busy machine takes for 200 MB in each run. */
  const PATIENT_ENV = { env: { PELTON_INSPECT_MS: '600000' } }
  let models: Awaited<ReturnType<typeof modelsFolder>>
  beforeAll(async () => {
    models = await modelsFolder(found)
    for (const name of ['lost+found', '@eaDir', '__pycache__', 'linear/v3', 'linear/2'])
      await mkdir(join(models.path, name), { recursive: true })
    await cp(join(models.path, 'free-columns', '1'), join(models.path, 'linear', '2'), { recursive: true })
  })
  afterAll(() => models.remove())

  it('measures what it can, tells apart what it serves unmeasured, and is no failure', async () => {
    const [checked, listed] = await Promise.all([
      runCli(['models', 'check', models.path, '--json'], PATIENT_ENV),
      runCli(['models', 'list', models.path, '--json'], PATIENT_ENV),
    ])
    expect([checked.code, listed.code], checked.err).toEqual([0, 0])
    const nameOf = ({ model, version }: { model: string; version: string }) => `${model}/${version}`
    expect(checked.json().map(nameOf)).toEqual(listed.json().map(nameOf))
    const byName = new Map(checked.json().map((model) => [nameOf(model), model]))
    expect(byName.get('columns-hidden/1')).toMatchObject({
      measured: false,
      reason: expect.stringMatching(/^it fails on generated inputs \(the model failed: .*MatMul/),
      remedy: expect.stringContaining('a golden sample, or the features of its input "x"'),
    })
    expect(JSON.stringify(byName.get('columns-hidden/1'))).not.toContain('inference-failed')
    expect(byName.get('columns-matmul/1')).toMatchObject({ measured: true, batchable: true })
    expect(byName.get('free-columns/1')).toMatchObject({ measured: true, batchable: true })
    // 0.017 and 0.936 to half precision, and not the bits of numbers.
    expect(byName.get('identity-fp16/1').prediction.outputs[0].data).toEqual([
      0.016998291015625, 0.93603515625,
    ])
    expect(byName.get('large-output/1')).toMatchObject({
      measured: true,
      prediction: null,
      predictionShapes: [{ name: 'y', datatype: 'FP32', shape: [50_000_000] }],
    })
    expect(byName.get('linear/2').signatureChanges).toEqual({
      from: '1',
      differences: ['input "x" was FP32[?, 3], is FP32[?, ?]'],
    })
    expect(byName.get('linear/1').memoryBytes).toBeLessThan(byName.get('large-output/1').memoryBytes)
  })

  it('tells of folders that are no models and no versions in a line each, on standard error', async () => {
    const { out, err, code } = await runCli(['models', 'check', models.path], PATIENT_ENV)
    expect(code, err).toBe(0)
    expect(err).toContain('passed over, for they are no models: @eaDir, __pycache__, lost+found\n')
    expect(err).toContain('model "linear": version folder "v3": rename it to "3"\n')
    expect(out).not.toContain('refused')
    expect(out).toMatch(/^not measured {2}columns-hidden version 1: it is served, but it fails on generated/m)
    expect(out).toContain('y FP32[50000000]: too much to show (generated)')
    expect(out).toContain('differs from version 1:')
    expect(out).not.toContain('0.0 µs')
  })
})

describe('pelton models, of files reached through links', () => {
  const WEIGHTS = Buffer.from(Float32Array.of(10, 20).buffer)
  const ONNX = 'test/models/external-beside.onnx'
  let base: string
  let models: string
  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'pelton-links-'))
    models = join(base, 'models')
    // As Kubernetes mounts a volume: each file is a link into a folder that a link leads to.
    const mounted = join(models, 'mounted', '1')
    await mkdir(join(mounted, '..2026_11_29'), { recursive: true })
    await copyFile(ONNX, join(mounted, '..2026_11_29', 'model.onnx'))
    await writeFile(join(mounted, '..2026_11_29', 'weights.bin'), WEIGHTS)
    await symlink('..2026_11_29', join(mounted, '..data'))
    for (const file of ['model.onnx', 'weights.bin']) await symlink(`..data/${file}`, join(mounted, file))
    // As caches keep files: under names of their own, where neither lies beside the other.
    const cached = join(models, 'cached', '1')
    await mkdir(cached, { recursive: true })
    for (const blob of ['a', 'b']) await mkdir(join(models, '.blobs', blob), { recursive: true })
    await copyFile(ONNX, join(models, '.blobs', 'a', '5f'))
    await writeFile(join(models, '.blobs', 'b', '7c'), WEIGHTS)
    await symlink('../../.blobs/a/5f', join(cached, 'model.onnx'))
    await symlink('../../.blobs/b/7c', join(cached, 'weights.bin'))
  })
  afterAll(() => rm(base, { recursive: true, force: true }))

  it('finds the same in them as a worker does', async () => {
    const worker = await growRepository({
      folder: models,
      copies: { folder: join(base, 'copies'), maxBytes: 2 ** 20 },
    })
    await worker.settled
    const served = worker.models.map(({ name, digest }) => [name, digest])
    await worker.close()
    expect(served.map(([name]) => name)).toEqual(['cached', 'mounted'])
    for (const command of ['list', 'check']) {
      const { code, json, err } = await runCli(['models', command, models, '--json'])
      expect(code, err).toBe(0)
      const found = json()
      expect(found.map(({ model, sha256 }) => [model, sha256])).toEqual(served)
      if (command === 'check') expect(found.map(({ measured }) => measured)).toEqual([true, true])
    }
  })

  it('refuses what a worker with the same settings refuses', async () => {
    const env = { PELTON_COPIES: join(base, 'small'), PELTON_COPIES_MAX_BYTES: String(2 ** 20) }
    await mkdir(join(base, 'small', 'copies', 'full'), { recursive: true })
    await writeFile(join(base, 'small', 'copies', 'full', 'model.onnx'), Buffer.alloc(2 ** 20))
    const { code, json } = await runCli(['models', 'check', models, '--json'], { env })
    expect(code).toBe(1)
    for (const { refused } of json())
      expect(refused).toMatch(/^model-unavailable: there is no room for a copy/)
    expect(json()).toHaveLength(2)
  })
})

describe.concurrent('pelton up', () => {
  it('serves events, is found by other commands, survives a crash of its broker and stops at Ctrl-C', async () => {
    const dataDir = join(folder, 'up')
    const own = { PELTON_DATA: dataDir }
    const up = startCli(['up', '--models', DEMO_MODELS], { env: own, input: '' })
    await up.until('PELTON_NATS_URL=')
    const published = await runCli(['publish', 'flight-delay'], { env: own, input: flight('before') })
    expect(published.err).toContain('of `pelton up`')
    expect(published.code).toBe(0)

    const server = await readRunningServer(dataDir)
    process.kill(server?.pid ?? 0, 'SIGKILL')
    await up.until('starting it again')
    await vi.waitFor(async () => expect(await readRunningServer(dataDir)).toBeDefined(), { timeout: 60_000 })
    const after = await runCli(['publish', 'flight-delay'], { env: own, input: flight('after') })
    expect(after.code, after.err).toBe(0)
    const watched = await runCli(['watch', '--from', 'all', '--json', '--count', '2'], { env: own })
    expect(
      watched
        .json()
        .map(({ id }) => id)
        .sort(),
    ).toEqual(['after', 'before'])

    up.child.kill('SIGINT')
    expect(await up.ended, up.err()).toBe(0)
    expect(up.err()).toContain('stopped')
    expect(await readRunningServer(dataDir)).toBeUndefined()
  })

  it('ends with 2 when no worker can use its settings', async () => {
    const own = { PELTON_DATA: join(folder, 'bad'), PELTON_THREADS: 'many' }
    const [port] = await freePorts(1) // not the usual one, which the test beside it may be about to take
    const { code, err } = await runCli(['up', '--models', DEMO_MODELS, '--port', String(port)], { env: own })
    expect(code, err).toBe(2)
    expect(err).toContain('PELTON_THREADS = "many"')
  })
})

describe.concurrent('pelton', () => {
  const commands = [
    'up',
    'demo',
    'publish',
    'watch',
    'status',
    'dead-letters list',
    'dead-letters show',
    'models list',
    'models check',
    'doctor',
    'provision',
    'settings',
  ]
  it.each(commands)('%s has help with examples and exit codes', async (command) => {
    const { code, out } = await runCli([...command.split(' '), '--help'])
    expect(code).toBe(0)
    expect(out).toMatch(/Examples:\n {2}\$ pelton|Examples:\n {2}\$ echo/)
    expect(out).toMatch(/Exit codes:\n {2}0 /)
  })

  it('exits 2 for arguments that cannot be used, and points at the help', async () => {
    for (const args of [['nonsense'], ['up', '--workers', '0'], ['publish'], ['watch', '--from', 'never']]) {
      const { code, err } = await runCli(args)
      expect([code, err]).toEqual([2, expect.stringContaining('--help')])
    }
  })
})
