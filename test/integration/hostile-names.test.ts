import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline, type Pipeline, SOURCE } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'

/** Clears a screen, sets a title, colours, turns the direction of text, begins another line. */
const HOSTILE = 'evil\u001b[2J\u001b]0;pwned\u0007\u001b[31m\u202e\u009b1m\r\nall is well\u2028\u200b'
const SHOWN =
  'evil\\u001b[2J\\u001b]0;pwned\\u0007\\u001b[31m\\u202e\\u009b1m\\u000d\\u000aall is well\\u2028\\u200b'
/** What may go out to a terminal: text and line ends, nothing that a terminal would act on or hide. */
const CLEAN = /^(?:[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|\n)*$/u

const MADE_UP = 400
const text = (values: readonly string[]): object => ({
  inputs: [{ name: 'x', shape: [1, values.length], datatype: 'BYTES', data: values }],
})

let pipeline: Pipeline
let folder: Awaited<ReturnType<typeof modelsFolder>>
let letter: string

beforeAll(async () => {
  folder = await modelsFolder(['identity-bytes'])
  pipeline = await openPipeline({ models: folder.path })
  await pipeline.startWorker()
  const names = Array.from({ length: MADE_UP }, (_name, index) => `made-up-${index}`)
  for (const model of names) await pipeline.publish({ model, id: '1' })
  await pipeline.publish({ model: HOSTILE, id: 'of-a-hostile-model' })
  const id = encodeURIComponent('e\u202e\u200b')
  await pipeline.publish({ model: 'identity-bytes', id, body: text([HOSTILE, 'b']) })
  await pipeline.publish({ model: 'identity-bytes', id: 'spoilt', body: `${HOSTILE}\u001b[1m` })
  await pipeline.settled(MADE_UP + 3)
  letter = eventToken('identity-bytes', SOURCE, 'spoilt')
  await eventually('the dead letters', async () => (await pipeline.countIn('DEADLETTERS')) === MADE_UP + 2)
})

afterAll(async () => {
  await pipeline?.close()
  await folder?.remove()
})

const pelton = async (...args: string[]): Promise<{ out: string; err: string }> => {
  const { out, err, code } = await runCli(args, { env: pipeline.env })
  expect(code, err).toBe(0)
  expect(out).toMatch(CLEAN)
  expect(err).toMatch(CLEAN)
  return { out, err }
}

describe('what events bring', () => {
  test('reaches nobody as an escape sequence: watch', async () => {
    const count = String(MADE_UP + 3)
    const { out, err } = await pelton('watch', '--all', '--from', 'all', '--count', count)
    const lines = out.trim().split('\n')
    const predicted = lines.find((line) => line.includes(' queued, '))
    expect(predicted).toContain('e\\u202e\\u200b')
    expect(predicted).toContain(SHOWN)
    // Failures of ten names and of the model that predicts; the other names are a count.
    const named = lines.filter((line) => line.includes('unknown-model'))
    expect(named).toHaveLength(10)
    expect(err).toMatch(/and 39[12] failures of more models/)
  })

  test('is exact as JSON, and whole: watch --json, export', async () => {
    const count = String(MADE_UP + 3)
    const watched = await pelton('watch', '--all', '--from', 'all', '--count', count, '--json')
    const results = watched.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(results).toHaveLength(MADE_UP + 3)
    expect(results.filter(({ model }) => model === HOSTILE)).toHaveLength(1)
    const { outputs } = results.find(({ kind }) => kind === 'prediction')
    expect(outputs[0].data).toEqual([HOSTILE, 'b'])
    const exported = await pelton('dead-letters', 'export', '-')
    expect(exported.out.trim().split('\n')).toHaveLength(MADE_UP + 2)
  })

  test('is ten names and a count: status, dead-letters count', async () => {
    const status = await pelton('status')
    const [, counts = ''] = status.out.split('DEAD LETTERS OF')
    const rows = counts.split('\n\n')[0]?.trim().split('\n').slice(1) ?? []
    expect(rows).toHaveLength(11)
    expect(rows.at(-1)).toMatch(new RegExp(`^and ${MADE_UP + 2 - 10} more +${MADE_UP + 2 - 10}$`))
    const counted = (await pelton('dead-letters', 'count')).out.trim().split('\n')
    expect(counted.filter((line) => line.includes('unknown-model'))).toHaveLength(11)
    expect(counted.some((line) => line.includes(`and ${MADE_UP + 1 - 10} more`))).toBe(true)
  })

  test('stands in its column, shown: dead-letters list and show', async () => {
    const { out } = await pelton('dead-letters', 'list', '--model', HOSTILE)
    const [heading = '', row = ''] = out.split('\n')
    expect(row).toContain(SHOWN)
    expect(row.indexOf('unknown-model')).toBe(heading.indexOf('REASON'))
    const shown = await pelton('dead-letters', 'show', letter)
    expect(shown.out).toContain('malformed')
    expect(shown.out).toContain('\\u001b[2J')
    const listed = await pelton('dead-letters', 'list', '--limit', '500')
    expect(listed.out.trim().split('\n')).toHaveLength(MADE_UP + 3)
  })

  test('is ten pools and a count: doctor', async () => {
    const pools = Array.from({ length: 25 }, (_pool, index) => `made-up-${index}`)
    for (const pool of [...pools, 'made-up-0']) await pipeline.publish({ pool, id: `of-${pool}` })
    const { code, out, err } = await runCli(['doctor'], { env: pipeline.env })
    expect(code, err).toBe(1)
    const told = out.split('\n').filter((line) => /^fail +pools? /.test(line) || line.includes('pools:'))
    expect(told).toHaveLength(11)
    expect(told[10]).toContain('pools: 15 events wait for 15 more pools that have no consumers')
  })

  test('is bytes where bytes are asked for: show --payload into a pipe', async () => {
    const { out } = await runCli(['dead-letters', 'show', letter, '--payload'], { env: pipeline.env })
    expect(out).toBe(`${HOSTILE}\u001b[1m`)
  })
})
