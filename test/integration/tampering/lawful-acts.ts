import { headers } from '@nats-io/transport-node'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi, streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import type { Decide, KilledBefore } from './hand-worker.ts'
import { deadLettered, type HistoryStage, parked, predicted, retried } from './history-stage.ts'

/** Something that may happen to a broker of Pelton without anybody doing wrong. */
export type LawfulAct = (stage: HistoryStage) => Promise<void>

const KILLS: readonly (KilledBefore | undefined)[] = [
  ...Array.from({ length: 8 }, () => undefined),
  'result',
  'dead-letter',
  'ledger',
  'ack',
]

const FAR_MS = 3_600_000

/** Decides by the seed: most are predicted, some fail, some wait. */
function anyEnd(stage: HistoryStage): Decide {
  return (delivery) => {
    const roll = stage.random()
    if (roll < 0.62) return predicted(delivery)
    if (roll < 0.8)
      return deadLettered(stage.pick(['inference-failed', 'invalid-output', 'malformed']))(delivery)
    if (roll < 0.92) return retried(stage.pick([0, FAR_MS]))(delivery)
    return parked(delivery)
  }
}

/** New events; some are absorbed by the broker as duplicates. */
const publishing: LawfulAct = async (stage) => {
  for (let count = 4 + Math.floor(stage.random() * 8); count > 0; count--) {
    const id = `e${stage.ids.length}`
    const extra = stage.random() < 0.2 ? { [HEADERS.messageId]: id } : {}
    await stage.publish(id, undefined, extra)
    if (HEADERS.messageId in extra) await stage.publish(id, undefined, extra)
  }
}

/** An id that was used before, with the same payload or another one. */
const publishedAgain: LawfulAct = async (stage) => {
  if (stage.ids.length === 0) return
  const id = stage.pick(stage.ids)
  await stage.publish(id, stage.random() < 0.3 ? '{"another": "payload"}' : undefined)
}

/** Workers take some of what waits, in groups; some of them are killed on the way. */
const served: LawfulAct = async (stage) => {
  const left = stage.some(await stage.worker().waiting(), 0.8)
  while (left.length > 0) {
    const group = left.splice(0, 1 + Math.floor(stage.random() * 8))
    await stage.worker().settle(group, anyEnd(stage), stage.pick(KILLS))
  }
}

/** A worker that was paused settles what another one has settled meanwhile. */
const servedLate: LawfulAct = async (stage) => {
  const held = stage.some(await stage.worker().waiting(), 0.3).slice(0, 5)
  await stage.worker().settle(held, anyEnd(stage))
  const late = held.filter(({ info }) => info.stream === STREAMS.features)
  // Its acknowledgement comes too late: the message is gone, and the broker says nothing to that.
  await stage.worker().settle(late, stage.pick([predicted, deadLettered()]), 'ack')
}

/**
 * RESULTS is full, and drops its oldest: nothing is on its way any more that would look for them. What was answered may be
 * asked again, and is answered anew.
 */
const resultsExpired: LawfulAct = async (stage) => {
  const due = await stage.worker().waiting()
  await stage.worker().settle(due, predicted)
  const retries = await streamInfo(stage.connection, STREAMS.retries)
  if (retries?.state.messages !== 0) return
  const info = await streamInfo(stage.connection, STREAMS.results)
  const kept = Math.max(1, Math.floor((info?.state.messages ?? 0) * 0.6))
  await requestApi(stage.connection, `STREAM.UPDATE.${STREAMS.results}`, { ...info?.config, max_msgs: kept })
  for (const id of stage.some(stage.ids.slice(0, 10), 0.3)) await stage.publish(id)
  await served(stage)
}

/** The oldest records of the LEDGER are gone, as those that expire. */
const ledgerExpired: LawfulAct = async (stage) => {
  const info = await streamInfo(stage.connection, STREAMS.ledger)
  const kept = Math.max(1, Math.floor((info?.state.messages ?? 0) * 0.7))
  await requestApi(stage.connection, `STREAM.UPDATE.${STREAMS.ledger}`, {
    ...{ ...info?.config, discard: 'old', max_msgs: kept },
  })
}

/** A record is stored twice: the broker's word of the first did not come. */
const recordedTwice: LawfulAct = async (stage) => {
  const info = await streamInfo(stage.connection, STREAMS.ledger)
  if (info === undefined || info.state.messages === 0) return
  const { message } = await requestApi<{ message: { subject: string; data: string } }>(
    stage.connection,
    `STREAM.MSG.GET.${STREAMS.ledger}`,
    { seq: info.state.last_seq },
  )
  const body = Buffer.from(message.data, 'base64')
  await stage.connection.request(message.subject, body, { headers: headers(), timeout: 5_000 })
}

/** What workers and producers do, by name. */
export const TRAFFIC = {
  publishing,
  'published again': publishedAgain,
  served,
  'served late': servedLate,
  'recorded twice': recordedTwice,
} as const satisfies Readonly<Record<string, LawfulAct>>

/** What the limits of streams do, by name: beyond them an audit knows less. */
export const EXPIRY = {
  'results expired': resultsExpired,
  'ledger expired': ledgerExpired,
} as const satisfies Readonly<Record<string, LawfulAct>>
