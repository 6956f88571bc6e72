import type { Contestant } from './contestant.ts'
import { bullmq, withoutStore } from './in-process.ts'
import { NESTJS } from './nestjs.ts'
import { onJetStream, PELTON } from './on-jetstream.ts'

const FLOOR = 'test/bench/floor/floor-process'

/** All who take part, in the order they are shown. */
export const CONTESTANTS: readonly Contestant[] = [
  PELTON,
  onJetStream({
    name: 'floor',
    title: 'raw loop with the model, on the same streams',
    isCompared: true,
    share: 1,
    settings: 'bare socket, batches of 64 inline, PubAck of the ledger record before the acks',
    args: [FLOOR],
  }),
  onJetStream({
    name: 'floor-bare',
    title: 'the same, and waits for no word of the ledger',
    isCompared: true,
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
  withoutStore({
    name: 'runtime',
    title: 'the model alone in the bare runtime, at its best batch',
    share: 5,
    settings: 'one thread, tensors made before, answers dropped',
    program: 'test/bench/peers/runtime-process',
  }),
  afternoon(1, 0.25),
  afternoon(256, 0.5),
  bullmq(32),
  bullmq(128),
  withoutStore({
    name: 'fastify',
    isPeer: true,
    title: 'Fastify asking the model for each request, no queue',
    share: 0.5,
    settings: 'schemas, 64 connections that stay, the load on the same cores',
    program: 'test/bench/peers/fastify-process',
  }),
  NESTJS,
]

/** What one writes with the documentation of the client open. */
function afternoon(inFlight: number, share: number): Contestant {
  return onJetStream({
    name: `afternoon-${inFlight}`,
    isPeer: true,
    title: `consume(), session.run() for each message, js.publish(), ${inFlight} in flight`,
    share,
    settings: 'the client as its documentation has it, on the same streams',
    args: ['test/bench/peers/afternoon-process', String(inFlight)],
  })
}
