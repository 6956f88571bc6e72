import { describe, expect, vi } from 'vitest'
import { createAudits } from '../../services/control/hosting/audits.ts'
import { audit } from '../../shared/operations/audit/audit.ts'
import { writeFloor } from '../../shared/operations/audit/floor.ts'
import { readValue } from '../../shared/operations/records/key-value.ts'
import { WATCH_KEY, type WatchRecord } from '../../shared/operations/watch-record/record.ts'
import { encodeLedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { publishEvent } from '../kit/pipeline.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import type { ControlProcess } from './control-process.ts'
import { looksFor, openControlStage } from './control-stage.ts'

const OFTEN = { PELTON_AUDIT_EVERY_MS: '1000' }

const test = staged(openStage)

async function openStage() {
  const stage = await openControlStage({})
  const { connection } = stage

  async function publish(count: number, from = 0): Promise<void> {
    for (let index = from; index < from + count; index++)
      await publishEvent(connection, { id: `event-${index}`, model: 'm', body: { features: {} } })
  }

  const remove = (sequence: number): Promise<unknown> =>
    requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.features}`, { seq: sequence })

  return { ...stage, publish, remove }
}

const lastAudit = (process: ControlProcess) => process.call('GET', '/v1/audit')

/** Waits for an audit that ended after another. */
async function auditAfter(process: ControlProcess, earlier = '') {
  return vi.waitFor(async () => {
    const { status, json } = await lastAudit(process)
    expect(status).toBe(200)
    expect(json.endedAt > earlier).toBe(true)
    return json
  }, PATIENT)
}

async function metric(process: ControlProcess, name: string): Promise<number | undefined> {
  const text = await (await fetch(`${process.address}/metrics`)).text()
  const line = text.split('\n').find((each) => each.startsWith(name))
  return line === undefined ? undefined : Number(line.split(' ').at(-1))
}

const warnings = ({ log }: ControlProcess, text: string) =>
  log.filter(({ msg, level }) => String(msg).includes(text) && (level === 'warn' || level === 40))

describe.concurrent('a control service that audits by itself', () => {
  test('says what it found as of an audit that was asked for, and refuses nobody because of it', async ({
    stage,
  }) => {
    const { connection, publish, control } = stage
    await publish(3)
    const process = await control(OFTEN)
    const clean = await auditAfter(process)
    expect(clean.report).toMatchObject({ clean: true, waiting: 3, lost: [] })
    const noted = (await readValue<WatchRecord>(connection, WATCH_KEY))?.value.features
    expect(noted?.marks.at(-1)).toEqual([expect.any(Number), 3])
    expect(await metric(process, 'pelton_audit_lost')).toBe(0)
    expect(await metric(process, 'pelton_audit_last_clean_timestamp_seconds')).toBeGreaterThan(1.7e9)
    await requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.features}`, { seq: 2 })
    await vi.waitFor(
      async () =>
        expect((await lastAudit(process)).json.report).toMatchObject({ clean: false, lost: [[2, 2]] }),
      PATIENT,
    )
    expect(await metric(process, 'pelton_audit_lost')).toBe(1)
    expect(warnings(process, 'audit: 1 without an outcome')).not.toEqual([])
    // An alarm is looked at for 2.5 s: most of the time one runs.
    for (let round = 0; round < 3; round++)
      expect((await process.call('POST', '/v1/audit')).json).toMatchObject({ clean: false })
    const both = await Promise.all([0, 1].map(() => process.call('POST', '/v1/audit')))
    expect(both.map(({ status }) => status).sort()).toEqual([200, 409])
  })

  test('goes on, and says so, when an audit cannot be ended', async ({ stage }) => {
    const { broker, connection, control } = stage
    const process = await control(OFTEN)
    await auditAfter(process)
    await requestApi(connection, `STREAM.DELETE.${STREAMS.ledger}`)
    await vi.waitFor(
      () => expect(warnings(process, 'an audit could not be ended').length).toBeGreaterThan(1),
      PATIENT,
    )
    await broker.provision()
    await auditAfter(process, (await lastAudit(process)).json.endedAt)
  })

  test('does so never when it is told so; what is asked for is kept', async ({ stage }) => {
    const { control } = stage
    const process = await control({ PELTON_AUDIT_EVERY_MS: '0' })
    await looksFor(process, 3_000)
    const none = await lastAudit(process)
    expect(none.status).toBe(404)
    expect(none.headers.get('content-type')).toMatch(/^application\/problem\+json/)
    expect(await metric(process, 'pelton_audit_lost')).toBeUndefined()
    const asked = await process.call('POST', '/v1/audit')
    expect((await lastAudit(process)).json.report).toEqual(asked.json)
  })
})

describe.concurrent('audits by itself', () => {
  test('start where the last clean one ended, and once a day from the beginning', async ({ stage }) => {
    const { connection, publish, remove } = stage
    let now = 0
    const audits = createAudits(connection, new AbortController().signal, undefined, () => now)
    await publish(3)
    const first = await audits.runByItself()
    expect(first).toMatchObject({ clean: true, sequences: 3, waiting: 3 })
    expect(first).not.toHaveProperty('floor')
    await publish(2, 3)
    const second = await audits.runByItself()
    expect(second).toMatchObject({ clean: true, waiting: 5, floor: { sequence: 3 } })
    expect(await audits.run({ deep: false, full: false })).not.toHaveProperty('floor')
    await remove(2) // was waiting at the floor
    await remove(5)
    for (let round = 0; round < 2; round++)
      expect(await audits.runByItself()).toMatchObject({
        clean: false,
        lost: [
          [2, 2],
          [5, 5],
        ],
        floor: { sequence: 5 },
      })
    now += 24 * 3_600_000
    const daily = await audits.runByItself()
    expect(daily).toMatchObject({ clean: false, sequences: 5 })
    expect(daily).not.toHaveProperty('floor')
    expect(await audits.runByItself()).toMatchObject({ clean: false, floor: { sequence: 5 } })
    audits.forget()
    expect(await audits.runByItself()).not.toHaveProperty('floor')
  })

  test('do not forget by themselves what nobody has signed for: a FEATURES that was made anew', async ({
    stage,
  }) => {
    const { broker, connection, publish } = stage
    const audits = createAudits(connection, new AbortController().signal)
    await publish(2)
    expect(await audits.runByItself()).toMatchObject({ clean: true })
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    await broker.provision()
    for (let round = 0; round < 3; round++)
      expect(await audits.runByItself()).toMatchObject({
        ...{ clean: false, lost: [] },
        doubts: [expect.stringContaining('made anew')],
      })
    const { floor, revision } = await audit(connection, { signal: new AbortController().signal })
    if (floor !== undefined) await writeFloor(connection, floor, revision)
    expect(await audits.runByItself()).toMatchObject({ clean: true, doubts: [] })
  })

  test('start from a floor that was signed off meanwhile, where it is later; not from one of other streams', async ({
    stage,
  }) => {
    const { broker, connection, window, publish, remove } = stage
    const audits = createAudits(connection, new AbortController().signal)
    await publish(3)
    await audits.runByItself()
    await publish(2, 3)
    const { floor, revision } = await audit(connection, { signal: new AbortController().signal })
    const record = { stream: STREAMS.features, epoch: floor?.epoch ?? '', by: 'test' }
    const entries = [{ sequence: 1, outcome: 'predicted' } as const]
    const body = encodeLedgerRecord({ ...record, entries })
    expect((await window.publish({ subject: subjects.ledger('default'), headers: [], body })).kind).toBe(
      'stored',
    )
    await remove(1)
    const signedOff = await audit(connection, { signal: new AbortController().signal })
    if (signedOff.floor !== undefined) await writeFloor(connection, signedOff.floor, revision)
    expect(await audits.runByItself()).toMatchObject({ clean: true, floor: { sequence: 5 } })
    await requestApi(connection, `STREAM.DELETE.${STREAMS.ledger}`)
    await broker.provision()
    expect(await audits.runByItself()).not.toHaveProperty('floor')
  })
})

describe.concurrent('several control services', () => {
  test('leave the audit to the one that watches; one that no longer does forgets its own', async ({
    stage,
  }) => {
    const { control } = stage
    const first = await control({ ...OFTEN, PELTON_CONTROL_NAME: 'first' })
    await auditAfter(first)
    const second = await control({ ...OFTEN, PELTON_CONTROL_NAME: 'second' })
    const { endedAt } = (await lastAudit(first)).json
    await auditAfter(first, endedAt)
    expect((await lastAudit(second)).status).toBe(404)
    process.kill(first.pid, 'SIGSTOP')
    await auditAfter(second)
    process.kill(first.pid, 'SIGCONT')
    await vi.waitFor(async () => expect((await lastAudit(first)).status).toBe(404), PATIENT)
    expect(await metric(first, 'pelton_audit_lost')).toBeUndefined()
    expect(await metric(second, 'pelton_audit_lost')).toBe(0)
  })
})
