import { execFile, spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { type GatewayProcess, startGateway } from '../kit/gateway-process.ts'
import { openPipeline, type Pipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'

const run = promisify(execFile)
const page = await readFile(new URL('../../docs/http.md', import.meta.url), 'utf8')

/** The code block of the page with these words behind its fence. */
function block(words: string): string {
  const found = [...page.matchAll(/^```([^\n]+)\n(.*?)^```$/gms)].filter(([, opening]) => opening === words)
  expect(found, words).toHaveLength(1)
  return found[0]?.[2] ?? ''
}

/** Why a program cannot be used here; undefined where it can. */
function missing(what: string, program: string, args: readonly string[]): string | undefined {
  return spawnSync(program, args).status === 0 ? undefined : `no ${what} here`
}

// `--json` needs 7.82.
const noCurl = missing('curl that knows --json', 'curl', ['--json', '{}', '--version'])
const noRequests = missing('python3 with requests', 'python3', ['-c', 'import requests'])
const noTriton = missing('python3 with tritonclient', 'python3', ['-c', 'import tritonclient.http'])

interface Shown {
  readonly id: string
  readonly outputs: readonly { readonly data: readonly number[] }[]
}

describe('the examples of docs/http.md', () => {
  let pipeline: Pipeline
  let gateway: GatewayProcess

  beforeAll(async () => {
    pipeline = await openPipeline()
    await pipeline.startWorker()
    gateway = await startGateway({ url: pipeline.broker.url })
    const isServed = async () =>
      (await fetch(`${gateway.address}/v2/models/flight-delay/ready`)).status === 200
    await eventually('the model to be served', isServed)
  })

  afterAll(async () => {
    await gateway?.end()
    await pipeline?.close()
  })

  /** Code of the page, of which only the address is another. */
  const here = (words: string): string => block(words).replaceAll('http://127.0.0.1:8480', gateway.address)

  test('the first one, which is the README`s as well, has the answer that stands below it', async ({
    skip,
    signal,
  }) => {
    skip(noCurl !== undefined, noCurl)
    const { stdout } = await run('sh', ['-ec', here('sh curl')], { signal })
    const [answer, shown] = [stdout, block('json answer')].map((text) => JSON.parse(text) as Shown)
    expect({ ...answer, id: shown?.id }).toEqual({ ...shown, outputs: answer?.outputs })
    const [label, probability] = answer?.outputs ?? []
    const [shownLabel, shownProbability] = shown?.outputs ?? []
    expect(label).toEqual(shownLabel)
    expect({ ...probability, data: [] }).toEqual({ ...shownProbability, data: [] })
    // Its last digits are those of a processor.
    expect(probability?.data[0]).toBeCloseTo(shownProbability?.data[0] ?? 0, 5)
  })

  test('those for curl', async ({ skip, signal }) => {
    skip(noCurl !== undefined, noCurl)
    const env = { ...process.env, GATEWAY: gateway.address }
    // Each answer on a line of its own, as the shell has no prompt here.
    const code = here('sh examples')
      .replaceAll('curl -fsS', "curl -fsS -w '\\n'")
      .replace("-w '\\n' -D", '-D')
    const { stdout } = await run('sh', ['-ec', code], { signal, env })
    const [ready, index, prediction, later, event, ...rest] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(rest).toEqual([])
    expect(ready).toEqual({ ready: true })
    expect(index).toContainEqual({ name: 'flight-delay', version: '2', state: 'READY', reason: '' })
    for (const answer of [prediction, later]) expect(answer).toMatchObject({ model_name: 'flight-delay' })
    expect(event).toMatchObject({ id: 'NW332', source: 'gate/7', lane: 'low', duplicate: false })
  })

  test('that for Python with requests', async ({ skip, signal }) => {
    skip(noRequests !== undefined, noRequests)
    const { stdout } = await run('python3', ['-c', here('python requests')], { signal })
    expect(JSON.parse(stdout)).toHaveLength(1)
  })

  test('that for TypeScript', async ({ signal }) => {
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', here('ts fetch')], {
      signal,
    })
    expect(stdout).toContain("name: 'label'")
  })

  test('that for Triton`s client calls what was recorded of it', async () => {
    const recorded = await readFile(new URL('../conformance/triton-calls.py', import.meta.url), 'utf8')
    const code = block('python tritonclient')
    const calls = [
      'InferenceServerClient(',
      'InferInput(',
      'set_data_from_numpy(',
      'client.infer(',
      '.as_numpy(',
    ]
    for (const text of [...calls, 'timeout=']) {
      expect(code).toContain(text)
      expect(recorded).toContain(text.replace('client.', ''))
    }
  })

  test('that for Triton`s client runs', async ({ skip, signal }) => {
    skip(noTriton !== undefined, noTriton)
    const code = here('python tritonclient').replace('127.0.0.1:8480', new URL(gateway.address).host)
    const { stdout } = await run('python3', ['-c', code], { signal })
    expect(stdout).toContain('[[1. 2.]]')
  })

  test('a 202 has the members that are shown, and no others', async () => {
    const answer = await fetch(`${gateway.address}/v2/models/flight-delay/infer`, {
      method: 'POST',
      headers: { prefer: 'respond-async' },
      body: JSON.stringify({ features: EXAMPLE_FLIGHT }),
    })
    expect(answer.status).toBe(202)
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/)
    const shown = JSON.parse(block('json accepted')) as Record<string, unknown>
    const body = (await answer.json()) as Record<string, unknown>
    expect(answer.headers.get('location')).toBe(body.result)
    const { estimateSeconds: _, ...always } = shown
    const members = Object.keys(body).filter((name) => name !== 'estimateSeconds')
    expect(members.sort()).toEqual(Object.keys(always).sort())
  })
})
