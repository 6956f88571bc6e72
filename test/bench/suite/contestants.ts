import type { Contestant } from './contestant.ts'
import { onJetStream, PELTON } from './on-jetstream.ts'

const FLOOR = 'test/bench/floor/floor-process'

/** All who take part, in the order they are shown. */
export const CONTESTANTS: readonly Contestant[] = [
  PELTON,
  onJetStream({
    name: 'floor',
    title: 'floor: raw loop with the model, on the same streams',
    share: 1,
    settings: 'bare socket, batches of 64 inline, PubAck of the ledger record before the acks',
    args: [FLOOR],
  }),
  onJetStream({
    name: 'floor-bare',
    title: 'floor, bare: waits for no word of the ledger',
    share: 1,
    settings: 'as the floor, acks after the PubAcks of the answers',
    args: [FLOOR, 'bare'],
  }),
  onJetStream({
    name: 'client',
    title: 'bare loop through the client: no decoding, no checks, no model, no ledger',
    share: 1,
    settings: 'pulls of 512, an answer of the same size, expected sequence',
    args: ['test/bench/peers/client-loop-process'],
  }),
]
