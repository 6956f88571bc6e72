import { describe, expect } from 'vitest'
import { audit } from '../../shared/operations/audit/audit.ts'
import { writeFloor } from '../../shared/operations/audit/floor.ts'
import type { AuditReport } from '../../shared/operations/audit/report.ts'
import { reportLines } from '../../shared/operations/audit/report-lines.ts'
import { HEADERS } from '../../shared/sdk/contract/headers.ts'
import { subjects } from '../../shared/sdk/contract/subjects.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { staged } from '../kit/staged.ts'
import { type Evidence, erase, originIn, put, readEvidence } from './tampering/evidence.ts'
import { forge, forgedRecord, JUNK } from './tampering/forged.ts'
import type { Decide } from './tampering/hand-worker.ts'
import {
  deadLettered,
  type HistoryStage,
  openHistoryStage,
  predicted,
  ROUTE,
  retried,
  tokenOf,
} from './tampering/history-stage.ts'
import type { Stored } from './tampering/stored.ts'

const HOUR_MS = 3_600_000

/** Sequences 1 to 40 are predicted, 41 to 45 dead letters, 46 to 48 retried, 49 to 53 wait. */
async function openStage(): Promise<HistoryStage> {
  const stage = await openHistoryStage(1)
  const settleNew = async (count: number, ...decide: Decide[]): Promise<void> => {
    for (let index = 0; index < count; index++) await stage.publish(`e${stage.ids.length + 1}`)
    for (const each of decide) await settleAll(stage, each)
  }
  await settleNew(40, predicted)
  await settleNew(5, deadLettered())
  await settleNew(3, retried(HOUR_MS))
  await settleNew(5)
  return stage
}

async function settleAll(stage: HistoryStage, decide: Decide): Promise<void> {
  const waiting = await stage.worker().waiting()
  while (waiting.length > 0) await stage.worker().settle(waiting.splice(0, 20), decide)
}

const test = staged(openStage)

async function signOff({ connection }: HistoryStage): Promise<void> {
  const { floor, revision } = await audit(connection, { signal: AbortSignal.abort() })
  expect(floor).toBeDefined()
  if (floor !== undefined) await writeFloor(connection, floor, revision)
}

/** What an audit says of a state. */
interface State {
  readonly name: string
  readonly act: (stage: HistoryStage, seen: Seen) => Promise<unknown>
  /** What the plain audit says; a plain one that is clean says nothing of it. */
  readonly plain: Partial<AuditReport>
  /** What `--deep` says beyond it. */
  readonly deep: readonly object[]
}

/** What lies in the streams, by the sequence of its event. */
interface Seen {
  readonly evidence: Evidence
  result(sequence: number): Stored
  letter(sequence: number): Stored
}

const CLEAN = { clean: true }

const STATES: readonly State[] = [
  {
    name: 'a result is deleted',
    act: (stage, { result }) => erase(stage, result(7)),
    plain: CLEAN,
    deep: [{ problem: 'no-result', sequence: 7 }],
  },
  {
    name: 'one subject of RESULTS is purged',
    act: ({ connection }, { result }) =>
      requestApi(connection, `STREAM.PURGE.${STREAMS.results}`, { filter: result(9).subject }),
    plain: CLEAN,
    deep: [{ problem: 'no-result', sequence: 9 }],
  },
  {
    name: 'a failure notice is deleted',
    act: (stage, { result }) => erase(stage, result(43)),
    plain: CLEAN,
    deep: [{ problem: 'no-result', sequence: 43, token: tokenOf('e43') }],
  },
  {
    name: 'a dead letter is deleted',
    act: (stage, { letter }) => erase(stage, letter(42)),
    plain: CLEAN,
    deep: [{ problem: 'no-dead-letter', sequence: 42, token: tokenOf('e42') }],
  },
  {
    name: 'a message of FEATURES is deleted',
    act: ({ connection }) => requestApi(connection, `STREAM.MSG.DELETE.${STREAMS.features}`, { seq: 51 }),
    plain: { clean: false, lost: [[51, 51]] },
    deep: [],
  },
  {
    name: 'a subject of FEATURES is purged with five waiting',
    act: ({ connection }) =>
      requestApi(connection, `STREAM.PURGE.${STREAMS.features}`, {
        filter: subjects.feature(ROUTE),
      }),
    plain: { clean: false, lost: [[49, 53]] },
    deep: [],
  },
  {
    name: 'three messages of RETRIES are deleted',
    act: async (stage, { evidence }) => {
      for (const copy of evidence.of(STREAMS.retries)) await erase(stage, copy)
    },
    plain: {
      clean: false,
      lostRetries: [46, 47, 48].map((sequence) => ({
        ...{ token: tokenOf(`e${sequence}`), stream: STREAMS.features, sequence },
      })),
    },
    deep: [],
  },
  {
    name: 'a record of the LEDGER is deleted',
    act: async (stage, { evidence }) => {
      const [, second] = evidence.of(STREAMS.ledger)
      if (second !== undefined) await erase(stage, second)
    },
    plain: {
      clean: false,
      lost: [[21, 40]],
      warnings: ['1 records were removed from the LEDGER: what they named looks lost'],
    },
    // With the record, nobody answers for what these events have in RESULTS.
    deep: Array.from({ length: 20 }, (_, index) => ({
      problem: 'foreign',
      token: tokenOf(`e${21 + index}`),
    })),
  },
  {
    name: 'a record of the LEDGER is forged for a deleted event',
    act: async (stage, { evidence: { epoch } }) => {
      await requestApi(stage.connection, `STREAM.MSG.DELETE.${STREAMS.features}`, { seq: 51 })
      await put(stage, forgedRecord(epoch, { sequence: 51, outcome: 'predicted', digest: 1 }, 'w1'))
    },
    plain: CLEAN,
    deep: [{ problem: 'no-result', sequence: 51 }],
  },
  {
    name: 'a record of the LEDGER is forged for a deleted event, without its token',
    act: async (stage, { evidence: { epoch } }) => {
      await requestApi(stage.connection, `STREAM.MSG.DELETE.${STREAMS.features}`, { seq: 51 })
      await put(stage, forgedRecord(epoch, { sequence: 51, outcome: 'dead-lettered' }, 'w1'))
    },
    plain: { clean: false, lost: [[51, 51]], warnings: ['1 messages in the LEDGER are no records'] },
    deep: [],
  },
  {
    name: 'a second result stands behind a prediction',
    act: (stage, { result }) => put(stage, result(10)),
    plain: CLEAN,
    deep: [{ problem: 'answered-twice', sequence: 10, token: tokenOf('e10') }],
  },
  {
    name: 'junk stands behind a prediction',
    act: (stage, { result }) => put(stage, { ...result(11), ...JUNK }),
    plain: CLEAN,
    deep: [{ problem: 'answered-twice', sequence: 11, token: tokenOf('e11') }],
  },
  {
    name: 'a prediction is turned into a notice',
    act: async (stage, { result }) => {
      const { notice } = forge('e14', (await readEvidence(stage)).epoch, 14)
      await erase(stage, result(14))
      await put(stage, notice)
    },
    plain: CLEAN,
    deep: [{ problem: 'other-outcome', sequence: 14 }],
  },
  {
    name: 'a prediction stands behind a notice',
    act: async (stage, { evidence: { epoch } }) => put(stage, forge('e44', epoch, 44).prediction),
    plain: CLEAN,
    deep: [{ problem: 'other-outcome', sequence: 44, token: tokenOf('e44') }],
  },
  {
    name: 'a dead letter stands beside a prediction',
    act: async (stage, { evidence: { epoch } }) => put(stage, forge('e15', epoch, 15).letter),
    plain: CLEAN,
    deep: [{ problem: 'both', sequence: 15, token: tokenOf('e15') }],
  },
  {
    name: 'a second failure notice stands behind the first',
    act: (stage, { result }) => put(stage, result(45)),
    plain: CLEAN,
    deep: [{ problem: 'noticed-twice', sequence: 45, token: tokenOf('e45') }],
  },
  {
    name: 'junk lay in the register before the event was published: it is answered all the same',
    act: async (stage, { evidence: { epoch } }) => {
      const { prediction } = forge('e54', epoch, 54)
      await put(stage, { ...JUNK, subject: prediction.subject })
      await stage.publish('e54')
      const waiting = await stage.worker().waiting()
      await stage.worker().settle(
        waiting.filter(({ event }) => event.id === 'e54'),
        predicted,
      )
      const behind = (await readEvidence(stage)).of(STREAMS.results).at(-1)
      expect(behind?.headers.get(HEADERS.outcome.toLowerCase())).toBe('prediction')
      expect(behind?.subject).toBe(prediction.subject)
    },
    plain: CLEAN,
    deep: [{ problem: 'unreadable-outcome', token: tokenOf('e54') }],
  },
  {
    name: 'a result stands there of an event that was never published',
    act: async (stage, { evidence: { epoch } }) => put(stage, forge('nobody', epoch, 99).prediction),
    plain: CLEAN,
    deep: [{ problem: 'foreign', token: tokenOf('nobody') }],
  },
  {
    name: 'a result is moved to another model',
    act: async (stage, { result }) => {
      await erase(stage, result(17))
      await put(stage, { ...result(17), subject: subjects.result('other', tokenOf('e17')) })
    },
    plain: CLEAN,
    deep: [{ problem: 'unreadable-outcome', sequence: 17, token: tokenOf('e17') }],
  },
  {
    name: 'a dead letter is moved to another model',
    act: async (stage, { letter }) => {
      await erase(stage, letter(41))
      await put(stage, { ...letter(41), subject: subjects.deadLetter('other', tokenOf('e41')) })
    },
    plain: CLEAN,
    deep: ['no-dead-letter', 'foreign'].map((problem) => ({ problem, sequence: 41, token: tokenOf('e41') })),
  },
  {
    name: 'a dead letter stands there twice, the second time of another model',
    act: (stage, { letter }) =>
      put(stage, { ...letter(43), subject: subjects.deadLetter('other', tokenOf('e43')) }),
    plain: CLEAN,
    deep: [{ problem: 'foreign', sequence: 43, token: tokenOf('e43') }],
  },
  {
    name: 'the value of a result is changed, its headers are the same',
    act: async (stage, { result }) => {
      await erase(stage, result(16))
      await put(stage, { ...result(16), body: Buffer.from('{"outputs":[{"name":"of","data":["e61"]}]}') })
    },
    plain: CLEAN,
    deep: [{ problem: 'other-digest', sequence: 16 }],
  },
]

function see(evidence: Evidence): Seen {
  const find = (stream: string, wanted: number): Stored => {
    const found = evidence.of(stream).find((one) => originIn(evidence.epoch, one) === wanted)
    if (found === undefined) throw new Error(`${stream} has nothing of ${wanted}`)
    return found
  }
  return {
    evidence,
    result: (sequence) => find(STREAMS.results, sequence),
    letter: (sequence) => find(STREAMS.deadLetters, sequence),
  }
}

function headline(report: AuditReport): string {
  return reportLines(report)[0]?.text ?? ''
}

describe.concurrent('made wrong by hand', () => {
  for (const { name, act, plain, deep } of STATES) {
    test(name, async ({ stage }) => {
      expect(await stage.look(), 'before').toMatchObject({ clean: true, waiting: 5, retries: { waiting: 3 } })
      await act(stage, see(await readEvidence(stage)))
      const quick = await stage.look({ deep: false })
      expect(quick).toMatchObject(plain)
      const whole = await stage.look()
      expect(whole).toMatchObject({ ...plain, clean: false })
      const problems = [...(whole.deep?.problems ?? [])].sort((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0))
      expect(problems).toEqual(deep.map((problem) => expect.objectContaining(problem)))
      expect(headline(whole)).not.toMatch(/^Every event/)
      expect(/^Every event/.test(headline(quick))).toBe(quick.clean)
    })
  }

  test('the floor and the record of the watch are junk that reads like them: they are none', async ({
    stage,
  }) => {
    const { epoch } = await readEvidence(stage)
    const ledger = { epoch: (await streamInfo(stage.connection, STREAMS.ledger))?.created, next: 1 }
    const floor = { v: 1, epoch, sequence: 40, ledger, at: new Date().toISOString() }
    for (const marks of [7, 'x', [null], [[1]], [['1', 2]], [[1, 9e99]]]) {
      const body = Buffer.from(JSON.stringify({ features: { epoch, marks } }))
      await put(stage, { ...JUNK, subject: subjects.replayRecord('watch.record'), body })
      expect(await stage.look({ deep: false })).toMatchObject({ clean: true, warnings: [] })
    }
    const floors = [{ waiting: '41-900000000000000' }, { waiting: '9-12,3' }, { waiting: '', at: 'then' }]
    for (const junk of floors) {
      const body = Buffer.from(JSON.stringify({ ...floor, retries: [], ...junk }))
      await put(stage, { ...JUNK, subject: subjects.auditFloor(), body })
      expect(await stage.look({ deep: false })).toMatchObject({ clean: true, sequences: 53, warnings: [] })
    }
  })

  test('FEATURES is deleted with five waiting and made anew, without a floor: not clean until signed', async ({
    stage,
  }) => {
    const { broker, connection } = stage
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    await broker.provision()
    for (const deep of [false, true]) {
      const report = await stage.look({ deep })
      expect(report).toMatchObject({
        clean: false,
        doubts: [expect.stringContaining('what it still held is not known')],
      })
      expect(headline(report)).toMatch(/^Not every event can be proven/)
      expect(report.deep?.problems ?? []).toEqual([])
    }
    await signOff(stage)
    for (const deep of [false, true])
      expect(await stage.look({ deep })).toMatchObject({ clean: true, doubts: [] })
  })

  test('FEATURES is deleted with five waiting and made anew, after a sign-off: each is named', async ({
    stage,
  }) => {
    const { broker, connection } = stage
    await signOff(stage)
    await requestApi(connection, `STREAM.DELETE.${STREAMS.features}`)
    await broker.provision()
    for (const deep of [false, true]) {
      const report = await stage.look({ deep })
      expect(report).toMatchObject({ clean: false, lostEarlier: { sequences: [[49, 53]] } })
      expect(headline(report)).toMatch(/^5 without an outcome/)
    }
  })
})
