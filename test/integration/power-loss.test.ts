import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import type { AuditReport } from '../../shared/operations/audit/report.ts'
import { decodeMarks } from '../../shared/operations/watch-record/durable-marks.ts'
import type { Durability } from '../../shared/sdk/broker/server.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../shared/sdk/jetstream/api.ts'
import { staged } from '../kit/staged.ts'
import { PATIENT } from '../kit/wait.ts'
import { runCli, startCli } from './cli-process.ts'
import { openControlStage } from './control-stage.ts'
import { GOOD } from './replay-stage.ts'

type Ran = Awaited<ReturnType<typeof runCli>>

/** A broker whose store can be set back to what it was, as a loss of power sets back what was not synced. */
async function openStage(durability: Durability) {
  const stage = await openControlStage({ broker: { durability }, topology: { ackWaitMs: 3_000 } })
  const { broker, connection, publish, settled, startWorker, endWorkers, control } = stage
  const aside = await mkdtemp(join(tmpdir(), 'pelton-power-'))
  const marks = join(aside, 'marks')
  const store = join(broker.dataDir, 'jetstream')
  const env = { PELTON_NATS_URL: broker.url, PELTON_NATS_MONITOR_URL: '', PELTON_MARKS_FOLDER: marks }
  let published = 0

  async function publishSome(count: number): Promise<void> {
    for (let index = 0; index < count; index++) await publish(`event-${published++}`, GOOD, [])
  }

  /** What `pelton audit` prints for programs. */
  async function audited(options: readonly string[] = [], extra: NodeJS.ProcessEnv = {}) {
    const monitor = { PELTON_NATS_MONITOR_URL: broker.monitorUrl }
    const ran: Ran = await runCli(['audit', '--json', ...options], { env: { ...env, ...monitor, ...extra } })
    return { code: ran.code, report: JSON.parse(ran.out) as AuditReport, err: ran.err }
  }

  /** Waits until the marks on disk know so many sequences. */
  const marked = (sequence: number): Promise<void> =>
    vi.waitFor(async () => {
      const [name = ''] = (await readdir(marks)).filter((each) => each.endsWith('.json'))
      const { features } = decodeMarks(await readFile(join(marks, name)))
      expect(features.marks.at(-1)?.[1]).toBe(sequence)
    }, PATIENT)

  /** Twenty answered events, and the store as it was then. */
  async function keepCopy(): Promise<void> {
    await startWorker()
    await publishSome(20)
    await settled(20)
    await broker.kill()
    await cp(store, join(aside, 'copy'), { recursive: true })
    await broker.restart()
  }

  /** Takes from broker, workers and control what came after the copy. */
  async function losePower(
    controls: readonly { kill(signal: NodeJS.Signals): void; ended: Promise<unknown> }[],
  ) {
    for (const each of controls) each.kill('SIGKILL')
    await Promise.all([endWorkers('SIGKILL'), ...controls.map(({ ended }) => ended)])
    await broker.kill()
    await rm(store, { recursive: true })
    await cp(join(aside, 'copy'), store, { recursive: true })
    await broker.restart()
    await vi.waitFor(async () => expect(await stage.lastIn(STREAMS.features)).toBe(20), PATIENT)
  }

  return {
    ...{ ...stage, connection, marks, env, publishSome, audited, marked, keepCopy, losePower },
    watching: () => control({ PELTON_MARKS_FOLDER: marks, PELTON_AUDIT_EVERY_MS: '0' }),
    close: async () => {
      await stage.close()
      await rm(aside, { recursive: true, force: true })
    },
  }
}

describe('a loss of power', () => {
  const stagedTest = staged(() => openStage('process'))

  stagedTest(
    'is seen by the audit, also where it took the ledger and the marks of the watch with the events',
    async ({ stage }) => {
      const { keepCopy, publishSome, settled, marked, losePower, audited, watching } = stage
      await keepCopy()
      const process = await watching()
      await publishSome(30)
      await settled(50)
      await marked(50)
      expect(await audited()).toMatchObject({ code: 0, report: { clean: true, lastSequence: 50 } })
      await losePower([process])

      const blind = await audited([], { PELTON_MARKS_FOLDER: join(stage.marks, 'nowhere') })
      expect(blind).toMatchObject({ code: 0, report: { clean: true, lastSequence: 20 } })
      expect(blind.report.cannotKnow).toContain('has no durable mark of this FEATURES')
      for (const options of [[], ['--deep'], ['--sign-off']]) {
        const seen = await audited(options)
        expect(seen).toMatchObject({ code: 1, report: { clean: false, lastSequence: 20, wentBackFrom: 50 } })
      }
      const hosted = await (await watching()).call('POST', '/v1/audit')
      expect(hosted.json).toMatchObject({ clean: false, wentBackFrom: 50 })
      const shown = await runCli(['audit'], { env: stage.env })
      expect(shown.out).toContain(
        'had given out sequence 50 and ends at 20: what it had stored from 21 on is gone',
      )
    },
  )

  stagedTest(
    'stays known once new events have the numbers that others had, until a floor is signed off',
    async ({ stage }) => {
      const { keepCopy, publishSome, settled, marked, losePower, audited, watching, startWorker } = stage
      await keepCopy()
      const before = await watching()
      await publishSome(10)
      await settled(30)
      await marked(30)
      await losePower([before])
      await watching()
      await marked(20)
      await startWorker()
      await publishSome(15)
      await settled(35)
      await marked(35)
      const { code, report } = await audited(['--deep'])
      expect([code, report.clean, report.lost]).toEqual([1, false, []])
      expect(report.takenBack).toEqual([expect.objectContaining({ from: 30, to: 20 })])
      expect(await audited(['--sign-off'])).toMatchObject({ code: 0, report: { clean: false } })
      const after = await audited()
      expect(after).toMatchObject({ code: 0, report: { clean: true, lastSequence: 35 } })
      expect(after.report).not.toHaveProperty('takenBack')
    },
  )
})

describe.each(['process', 'power'] as const)('a loss of power, profile %s', (durability) => {
  const stagedTest = staged(() => openStage(durability))

  stagedTest(
    'cannot be known where nothing is kept outside, or the broker syncs later: said, and no reason to fail',
    async ({ stage }) => {
      const { publishSome, marked, audited, watching } = stage
      await publishSome(3)
      const without = await audited()
      expect(without).toMatchObject({ code: 0, report: { clean: true } })
      expect(without.report.cannotKnow).toContain('no durable mark of this FEATURES')
      await watching()
      await marked(3)
      const { code, report } = await audited()
      expect([code, report.clean]).toEqual([0, true])
      if (durability === 'power') expect(report).not.toHaveProperty('cannotKnow')
      else expect(report.cannotKnow).toContain('events stored after the last durable mark (sequence 3, ')
      if (durability === 'process') expect(report.cannotKnow).toContain('syncs every 2 min')
      const shown = await runCli(['audit'], { env: { ...stage.env, PELTON_NATS_MONITOR_URL: undefined } })
      expect([shown.code, shown.out.match(/^Cannot be known: .*$/gm)?.length]).toEqual([0, 1])
    },
  )
})

describe('durable marks', () => {
  const stagedTest = staged(() => openStage('process'))

  stagedTest('that are damaged make no audit clean, and no process fail', async ({ stage }) => {
    const { publishSome, marked, audited, watching, marks } = stage
    await publishSome(3)
    const process = await watching()
    await marked(3)
    process.kill()
    await process.ended
    const [name = ''] = await readdir(marks)
    await writeFile(join(marks, name), '{"v":1}')
    const damaged = await audited(['--sign-off'])
    expect(damaged).toMatchObject({ code: 1, report: { clean: false, lost: [] } })
    expect(damaged.report.warnings).toEqual([
      expect.stringMatching(/^Durable marks cannot be read.*not as it was written/),
    ])
    expect(damaged.err).toContain('not signed off')
    // Who writes sets the file aside: the audit still cannot vouch for what it said.
    const next = await watching()
    await vi.waitFor(async () => expect(await readdir(marks)).toHaveLength(2), PATIENT)
    expect((await next.call('POST', '/v1/audit')).json).toMatchObject({ clean: false })
    await rm(join(marks, `${name}.damaged`))
    expect(await audited()).toMatchObject({ code: 0, report: { clean: true, warnings: [] } })
  })

  stagedTest(
    'know that FEATURES was made anew with events waiting, which nothing in the broker tells',
    async ({ stage }) => {
      const { broker, connection, publishSome, marked, audited, watching, marks } = stage
      await publishSome(3)
      await watching()
      await marked(3)
      await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
      await broker.provision()
      await vi.waitFor(async () => expect(await readdir(marks)).toHaveLength(2), PATIENT)
      const { code, report } = await audited(['--deep'])
      expect([code, report.clean, report.earlier]).toEqual([1, false, []])
      expect(report.gone).toEqual([expect.objectContaining({ sequence: 3 })])
      expect(report.lostEarlier).toMatchObject({ sequences: [[1, 3]] })
      expect(await audited(['--sign-off'])).toMatchObject({ code: 1 })
      const signed = await audited(['--purged', '1-3', '--reason', 'it was deleted', '--sign-off'])
      expect(signed.code).toBe(0)
      expect(await audited()).toMatchObject({ code: 0, report: { clean: true } })
    },
  )

  stagedTest('are not mixed up with those of another broker in the same folder', async ({ stage }) => {
    const other = await openStage('process')
    try {
      await other.publishSome(9)
      const process = await other.control({ PELTON_MARKS_FOLDER: stage.marks })
      await stage.marked(9)
      process.kill()
      await process.ended
      await stage.publishSome(2)
      await stage.watching()
      await vi.waitFor(async () => expect(await readdir(stage.marks)).toHaveLength(2), PATIENT)
      const { code, report } = await stage.audited()
      expect([code, report.clean, report.lastSequence]).toEqual([0, true, 2])
    } finally {
      await other.close()
    }
  })

  stagedTest('are told of where they are not kept, and where they cannot be written', async ({ stage }) => {
    const { control, marks } = stage
    const messages = ({ log }: { readonly log: readonly Readonly<Record<string, unknown>>[] }) =>
      log.map(({ msg }) => String(msg))
    const without = await control()
    expect(messages(without)).toContainEqual(expect.stringContaining('PELTON_MARKS_FOLDER is not set'))
    await writeFile(marks, 'no folder')
    const process = await control({ PELTON_MARKS_FOLDER: marks })
    const told = (text: string) => vi.waitFor(() => expect(messages(process)).toContain(text), PATIENT)
    await told('durable marks cannot be written; tried again')
    await rm(marks)
    await told('durable marks are written again')
  })
})

describe('pelton up', () => {
  test.each([
    ['with its control service', []],
    ['without', ['--no-control']],
  ])('keeps durable marks beside its streams, where the audit looks for them: %s', async (_what, options) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'pelton-up-marks-'))
    const env = { PELTON_DATA: dataDir, PELTON_LOG_LEVEL: 'error' }
    const up = startCli(['up', '--data', dataDir, ...options], { env, input: '' })
    try {
      await up.until('PELTON_NATS_URL=')
      await vi.waitFor(async () => expect(await readdir(join(dataDir, 'marks'))).toHaveLength(1), PATIENT)
      const { out, code } = await runCli(['audit', '--json'], { env })
      const report = JSON.parse(out) as AuditReport
      expect([code, report.clean]).toEqual([0, true])
      expect(report.cannotKnow).toContain('events stored after the last durable mark')
    } finally {
      up.child.kill('SIGINT')
      await up.ended
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
