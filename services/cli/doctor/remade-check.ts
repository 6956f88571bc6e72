import type { NatsConnection } from '@nats-io/transport-node'
import { readKnown, remadeBecause } from '../../../shared/operations/audit/start.ts'
import { type Finding, ok, warn } from '../../../shared/operations/broker/finding.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../../shared/sdk/jetstream/api.ts'

/** Whether FEATURES was deleted and made anew, and nobody has signed for what it held. Streams that are missing are no matter of it. */
export async function checkRemade(connection: NatsConnection): Promise<readonly Finding[]> {
  const made = async (stream: string) => (await streamInfo(connection, stream))?.created
  const [epoch, retries, ledger] = [
    await made(STREAMS.features),
    await made(STREAMS.retries),
    await made(STREAMS.ledger),
  ]
  if (epoch === undefined || retries === undefined || ledger === undefined) return []
  const known = await readKnown(connection, {})
  const isSigned = known.floor?.epoch === epoch
  const why = isSigned
    ? undefined
    : remadeBecause(known, epoch, { [STREAMS.retries]: retries, [STREAMS.ledger]: ledger })
  if (why === undefined)
    return [ok(STREAMS.features, 'it is the one that was made first, or somebody signed for it')]
  const text = `it was deleted and made anew (${why}): what it still held is not known`
  return [warn(STREAMS.features, text, 'Run `pelton audit`: docs/audit.md, "When FEATURES was made anew".')]
}
