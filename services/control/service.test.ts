import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BrokerReach } from '../../shared/runtime/broker-reach.ts'
import type { Problem } from '../../shared/runtime/http.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { ApiRefusal } from '../../shared/sdk/jetstream/api.ts'
import { readControlServiceSettings } from './config.ts'
import type { ApiParts } from './http/parts.ts'
import { type ControlDoor, openDoor } from './service.ts'

const TOKEN = 'token-of-the-unit-tests'
let folder: string
let door: ControlDoor | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pelton-door-'))
})
afterEach(async () => {
  await door?.close()
  await rm(folder, { recursive: true, force: true })
})

/** What the door answers to who asks for the last audit, where that throws. */
async function answerTo(thrown: unknown, prefix: string): Promise<Problem> {
  const env = {
    PELTON_CONTROL_PORT: '0',
    PELTON_CONTROL_TOKEN: TOKEN,
    PELTON_DATA: folder,
    PELTON_PREFIX: prefix,
  }
  const telemetry = { hasMetrics: false, hasTraces: false, scrape: undefined, close: async () => undefined }
  const settings = readControlServiceSettings(env)
  door = await openDoor(settings, pino({ level: 'silent' }), telemetry as never, env)
  door.reach = { isReachable: true } as BrokerReach
  door.parts = {
    audits: {
      get last(): never {
        throw thrown
      },
    },
  } as unknown as ApiParts // all that this route asks for
  const response = await fetch(`${door.address}/v1/audit`, { headers: { authorization: `Bearer ${TOKEN}` } })
  return (await response.json()) as Problem
}

describe('a problem that control answers', () => {
  const unread = new PeltonError('broker-unavailable', 'LEDGER cannot be read on', {
    field: 'stream',
    value: 'LEDGER',
    remedy: 'Look at it: `nats stream info LEDGER`.',
  })

  it('names streams as the broker of its Pelton has them', async () => {
    const problem = await answerTo(unread, 'staging')
    expect(problem).toMatchObject({
      ...{ code: 'broker-unavailable', field: 'stream', value: 'staging-LEDGER' },
      remedy: 'Look at it: `nats stream info staging-LEDGER`.',
    })
    expect([problem.detail, problem.error]).toEqual([
      expect.stringContaining('staging-LEDGER cannot be read on'),
      problem.detail,
    ])
    expect(JSON.stringify(problem)).not.toMatch(/(?<!staging-)LEDGER/)
  })

  it('names what the broker refused as the broker did', async () => {
    const refusal = new ApiRefusal('STREAM.INFO.staging-LEDGER', {
      ...{ err_code: 10_047, code: 500, description: 'insufficient storage resources available' },
    })
    expect(await answerTo(refusal, 'staging')).toMatchObject({
      detail: expect.stringContaining('STREAM.INFO.staging-LEDGER'),
    })
  })

  it('names a value that was sent as it was sent, and without a prefix everything', async () => {
    const sent = new PeltonError('invalid-argument', 'there is no model LEDGER')
    expect(await answerTo(sent, 'staging')).toMatchObject({ detail: 'there is no model LEDGER' })
    await door?.close()
    expect(await answerTo(unread, '')).toMatchObject({ value: 'LEDGER', detail: unread.description })
  })
})
