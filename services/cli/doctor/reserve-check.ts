import type { NatsConnection } from '@nats-io/transport-node'
import { lookAtBroker } from '../../../shared/operations/broker/broker-look.ts'
import { type Finding, fail, ok } from '../../../shared/operations/broker/finding.ts'
import { showBytes, showShare } from '../../../shared/runtime/quantities.ts'
import { boundSetting, keptInRetries, LEDGER_STOPS_AT } from '../../../shared/sdk/contract/bounds.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import type { StreamInfo } from '../../../shared/sdk/jetstream/api.ts'

/** What each stream and bucket has left in bytes before something happens. */
export async function checkReserve(connection: NatsConnection): Promise<readonly Finding[]> {
  const { infos } = await lookAtBroker(connection)
  if (infos.size === 0) return []
  const bounded = [...infos].filter(([, info]) => maxBytesOf(info) > 0)
  const open = [...infos.keys()].filter((name) => maxBytesOf(infos.get(name)) <= 0)
  const parts = [
    bounded.map(([name, info]) => `${name} ${reserveOf(name, info)}`).join(', '),
    ...(open.length > 0 ? [`without a bound in bytes: ${open.join(', ')}`] : []),
  ]
  const retries = infos.get(STREAMS.retries)
  return [ok('reserve', parts.join('; ')), ...(retries === undefined ? [] : checkRetries(retries))]
}

/** The part of a bound that is used before something happens: RETRIES and LEDGER are never filled. */
function usable(name: string, maxBytes: number): number {
  if (name === STREAMS.retries) return keptInRetries(maxBytes)
  return name === STREAMS.ledger ? Math.floor(LEDGER_STOPS_AT * maxBytes) : maxBytes
}

function reserveOf(name: string, info: StreamInfo): string {
  const most = usable(name, maxBytesOf(info))
  const left = Math.max(0, most - info.state.bytes)
  return `${showBytes(left)} of ${showBytes(most)} left (${showShare(left / most)})`
}

/** More than workers put there: somebody else did, or its bound was lowered. */
function checkRetries(info: StreamInfo): readonly Finding[] {
  const maxBytes = maxBytesOf(info)
  const kept = keptInRetries(maxBytes)
  if (maxBytes <= 0 || info.state.bytes <= 2 * kept) return []
  const text = `${showBytes(info.state.bytes)} are in it, of ${showBytes(maxBytes)}: at its bound it drops accepted events, and workers keep to ${showBytes(kept)}`
  const remedy = `Raise ${boundSetting(STREAMS.retries)} and run \`pelton provision\`.`
  return [fail(`stream ${STREAMS.retries}`, text, remedy)]
}

function maxBytesOf(info: StreamInfo | undefined): number {
  return Number(info?.config.max_bytes ?? -1)
}
