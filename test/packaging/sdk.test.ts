import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { consumerInfo } from '../../shared/sdk/jetstream/api.ts'
import { speakFlow } from '../kit/flow.ts'
import { packPackage } from '../kit/packages.ts'
import { eventually } from '../kit/wait.ts'
import { startWorkerProcess, type WorkerProcess } from '../kit/worker-process.ts'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const SDK = join(ROOT, 'shared/sdk')
/** Snippets of the README, by the word behind ```ts. */
const snippets = new Map<string, string>()

/** A service with OpenTelemetry that imports the README's module; prints a span a line. */
const TRACED = `
import { propagation, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { createProducer, createSubscriber } from 'pelton'

const exporter = new InMemorySpanExporter()
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
propagation.setGlobalPropagator(new W3CTraceContextPropagator())
await import('./tracing.js')
const url = process.env.PELTON_NATS_URL
const subscriber = await createSubscriber({ url, include: 'all', from: 'all' })
const producer = await createProducer({ url, source: 'test' })
await producer.publish({ model: 'flight-delay', lane: 'high', id: 'traced', features: {} })
await producer.publish({ model: 'flight-delay', lane: 'nowhere', features: {} }).catch(() => undefined)
for await (const result of subscriber) {
  result.ack()
  if (result.id === 'traced') break
}
await producer.close()
await subscriber.close()
for (const span of exporter.getFinishedSpans()) {
  const { traceId, spanId } = span.spanContext()
  const { name, attributes, parentSpanContext } = span
  if (attributes['cloudevents.event_id'] !== 'traced' && attributes['error.type'] === undefined) continue
  console.log(JSON.stringify({ name, traceId, spanId, parent: parentSpanContext?.spanId, attributes }))
}
`

let project: string
let installed: string
let broker: { readonly url: string; stop(): Promise<void> }
let connection: NatsConnection
let worker: WorkerProcess
const children: ChildProcess[] = []

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'pelton-packaging-'))
  installed = join(project, 'node_modules/pelton')
  const readme = await readFile(join(SDK, 'README.md'), 'utf8')
  for (const [, name = '', code = ''] of readme.matchAll(/^```ts (\w+)\n(.*?)^```$/gms))
    snippets.set(name, code)
  await install()
  const { startTestBroker } = await import(pathToFileURL(join(installed, 'dist/testing.js')).href)
  broker = await startTestBroker({ note: (text: string) => process.stderr.write(`${text}\n`) })
  connection = await connect({ servers: broker.url })
  worker = await startWorkerProcess({ url: broker.url, models: DEMO_MODELS })
})

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  }
})

afterAll(async () => {
  worker?.kill('SIGKILL')
  await worker?.ended
  await connection?.close()
  await broker?.stop()
  await rm(project, { recursive: true, force: true })
})

/** Packs the SDK as a release does, and installs the tarball into an empty project, as a user would. */
async function install(): Promise<void> {
  const tarball = await packPackage('pelton', join(project, 'packed'))
  await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  const openTelemetry = ['@opentelemetry/api@1.9.0', '@opentelemetry/sdk-trace-base@2.12.0']
  await installPackages([tarball, '@types/node@20', 'typescript@7.0.2', ...openTelemetry])
}

async function installPackages(wanted: readonly string[]): Promise<void> {
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts']
  await run('npm', ['install', ...quiet, ...wanted], { cwd: project }).catch((cause: unknown) => {
    const why = `npm install of ${wanted[0]} failed: this test needs a package registry, or npm with a warm cache`
    throw new Error(why, { cause })
  })
}

/** Starts a compiled snippet and resolves once it has printed `lines` lines. Rejects when it ends before. */
async function start(
  name: string,
  lines: number,
): Promise<{ readonly child: ChildProcess; readonly printed: readonly string[] }> {
  const env = { ...process.env, PELTON_NATS_URL: broker.url }
  const child = spawn(process.execPath, [`${name}.js`], {
    cwd: project,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let out = ''
  let err = ''
  const printed = (): string[] => out.split('\n').slice(0, -1)
  await new Promise<void>((resolve, reject) => {
    const check = (): void => void (printed().length >= lines && resolve())
    child.stderr?.on('data', (data: Buffer) => {
      err += data.toString()
    })
    child.stdout?.on('data', (data: Buffer) => {
      out += data.toString()
      check()
    })
    child.once('close', (code) => {
      if (code !== 0) reject(new Error(`${name} ended with ${code}:\n${out}${err}`))
      else resolve()
    })
    check()
  })
  return { child, printed: printed() }
}

/** Runs a snippet to its end. */
async function finish(name: string): Promise<readonly string[]> {
  const { printed, child } = await start(name, Number.POSITIVE_INFINITY)
  expect(child.exitCode).toBe(0)
  return printed
}

describe('the packed SDK', () => {
  test('holds no tests and needs the NATS client only', async () => {
    const files = await readdir(join(installed, 'dist'), { recursive: true })
    expect(files.filter((file) => /\.test\.|testdata/.test(file))).toEqual([])
    expect(existsSync(join(installed, 'LICENSE'))).toBe(true)
    const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
    expect(Object.keys(manifest.dependencies)).toEqual(['@nats-io/jetstream', '@nats-io/transport-node'])
    for (const stranger of ['zod', 'pino', 'onnxruntime-node', 'commander', 'lossless-json', 'classic-level'])
      expect(existsSync(join(project, 'node_modules', stranger))).toBe(false)
  })

  test('has a README whose first two snippets are at most ten lines', () => {
    expect([...snippets.keys()].slice(0, 1)).toEqual(['producer'])
    for (const name of ['producer', 'subscriber']) {
      const lines = (snippets.get(name) ?? '').split('\n').filter((line) => line.trim() !== '')
      expect(lines.length, name).toBeGreaterThan(3)
      expect(lines.length, name).toBeLessThanOrEqual(10)
    }
  })

  test('compiles every snippet of its README strictly, its own declarations included', async () => {
    for (const [name, code] of snippets) await writeFile(join(project, `${name}.ts`), code)
    const compilerOptions = {
      target: 'es2023',
      module: 'nodenext',
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      types: ['node'],
    }
    const files = [...snippets.keys()].map((name) => `${name}.ts`)
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
    const compiler = join(project, 'node_modules/.bin/tsc')
    const { stdout } = await run(compiler, [], { cwd: project }).catch((error: { stdout: string }) => error)
    // The NATS client's own declarations do not hold under exactOptionalPropertyTypes.
    const complaints = stdout.split('\n').filter((line) => /^\S/.test(line) && !line.includes('/@nats-io/'))
    expect(complaints).toEqual([])
  })

  test("the README's producer and subscriber get a prediction from a real worker", async () => {
    const subscribing = start('subscriber', 1)
    await eventually('the subscriber of the snippet', () =>
      consumerInfo(connection, STREAMS.results, 'sub-gate-board'),
    )
    expect(await finish('producer')).toEqual(['NW329 is number 1'])
    const { printed } = await subscribing
    expect(printed[0]).toMatch(/^NW329 0\.\d+$/)
    expect(await finish('producer')).toEqual(['NW329 is number 1, sent before'])
  })

  test("the README's request gets a failure notice, and finds it again", async () => {
    expect(await finish('request')).toEqual([expect.stringMatching(/^schema-mismatch /), 'true'])
  })

  test("the README's spans join an event and its result, and say what failed", async () => {
    await writeFile(join(project, 'traced.js'), TRACED)
    const [published, refused, processed] = (await finish('traced')).map((line) => JSON.parse(line))
    const ids = {
      'messaging.message.id': eventToken('flight-delay', 'test', 'traced'),
      'cloudevents.event_id': 'traced',
    }
    expect(published).toMatchObject({
      name: 'publish features.flight-delay.high',
      attributes: { ...ids, 'cloudevents.event_source': 'test' },
    })
    expect(refused).toMatchObject({
      name: 'publish features.flight-delay.nowhere',
      attributes: { 'error.type': 'invalid-argument' },
    })
    expect(processed).toMatchObject({
      name: 'process results.flight-delay',
      traceId: published.traceId,
      parent: published.spanId,
      attributes: { ...ids, 'pelton.settled': 'ack' },
    })
  })

  test("the README's batches and tensors run", async () => {
    await finish('tensors')
    const { printed } = await start('batches', 1)
    expect(printed.join('\n')).toContain("'NW329', '2', ")
  })

  test("the README's patient producer is told why it is refused, and when to come back", async () => {
    const flow = speakFlow(connection, 'churn')
    flow.say({ heldS: { high: 2 } })
    const { child, printed } = await start('admission', 1)
    flow.stop()
    child.kill()
    expect(printed[0]).toMatch(
      /^(?:overloaded|rate-limited): \w+ is [\d.]+ ms, at most [\d.]+ ms; back in \d+ ms$/,
    )
  })

  test("the README's test with a broker of its own sees a full stream", async () => {
    expect(await finish('testing')).toEqual(['stream-full'])
  })

  test("the README's outbox asks for classic-level, and works once it is installed", async () => {
    await expect(finish('outbox')).rejects.toThrow(
      /outbox-unusable: an outbox needs the package classic-level.*npm install classic-level@3/,
    )
    expect(existsSync(join(project, 'outbox'))).toBe(false)
    const { peerDependencies } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'))
    await installPackages([`classic-level@${peerDependencies['classic-level']}`])
    expect(await finish('outbox')).toEqual([
      expect.stringMatching(/^NW330 is on disk as \S{22}; [01] wait, \d+ ms/),
    ])
    expect(existsSync(join(project, 'outbox/CURRENT'))).toBe(true)
  })
})
