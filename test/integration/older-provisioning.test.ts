import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { modelsFolder } from '../kit/models-folder.ts'
import { openPipeline } from '../kit/pipeline.ts'
import { eventually } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { startControl } from './control-process.ts'

const MODEL = 'identity-fp32'
const GOOD = { inputs: [{ name: 'x', shape: [1, 2], datatype: 'FP32', data: [1, 2] }] }
const OF_GATEWAYS = [STORES.keys, STORES.requests]

test('a broker without the buckets of gateways is worked on as before, and doctor says what makes them', async () => {
  const folder = await modelsFolder([MODEL])
  onTestFinished(() => folder.remove())
  const dataDir = await mkdtemp(join(tmpdir(), 'pelton-older-'))
  onTestFinished(() => rm(dataDir, { recursive: true }))
  const pipeline = await openPipeline({ models: folder.path })
  onTestFinished(() => pipeline.close())
  const { broker, connection } = pipeline
  const env = { PELTON_NATS_URL: broker.url }
  for (const store of OF_GATEWAYS) await requestApi(connection, `STREAM.DELETE.${store}`)

  const control = await startControl({ url: broker.url, dataDir })
  onTestFinished(() => control.kill('SIGKILL'))
  await pipeline.startWorker()
  await pipeline.publish({ model: MODEL, id: 'good', body: GOOD })
  await pipeline.publish({ model: MODEL, id: 'bad', body: { inputs: [] } })
  const { predictions, deadLetters } = await pipeline.settled(2)
  expect([predictions.size, deadLetters.size]).toEqual([1, 1])
  const replayed = await runCli(['replay', 'start', '--all', '--rate', '1000', '--ramp', '0'], { env })
  expect(replayed.code, replayed.err).toBe(0)
  await eventually(
    'the dead letter to be there again',
    async () => (await pipeline.countIn(STREAMS.deadLetters)) === 1,
  )
  for (const command of [['status'], ['audit']]) {
    const { code, err } = await runCli(command, { env })
    expect(code, err).toBe(0)
  }
  expect((await control.call('GET', '/readyz')).status).toBe(200)

  const before = await runCli(['doctor'], { env })
  expect(before.code).toBe(1)
  for (const store of OF_GATEWAYS) expect(before.out).toMatch(new RegExp(`stream ${store}.*does not exist`))
  expect(before.out).toContain('Run `pelton provision`.')

  const made = await runCli(['provision'], { env })
  expect(made.out.match(/^created \S+ \S+/gm)).toEqual(OF_GATEWAYS.map((store) => `created stream ${store}`))
  expect((await runCli(['doctor'], { env })).out).not.toContain('does not exist')
  const ofRequests = await streamInfo(connection, STORES.requests)
  expect(ofRequests?.config).toMatchObject({ allow_msg_ttl: true, discard: 'new', max_msgs_per_subject: 1 })
})
